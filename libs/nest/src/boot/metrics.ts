/** Metrics in Prometheus' text format at `/metrics`: of the process, of HTTP, and whatever a service adds. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Measured every 10 ms, as it is by default, the lag of the event loop costs an idle process a percent of a core. */
const LAG_SAMPLE_MS = 200;

export class Metrics {
  readonly registry = new Registry();
  private readonly requests = new Histogram({
    name: 'http_request_duration_seconds',
    help: 'Time from the first byte of a request to the last of its answer.',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers: [this.registry],
  });

  constructor(service: string) {
    this.registry.setDefaultLabels({ service });
    collectDefaultMetrics({ register: this.registry, eventLoopMonitoringPrecision: LAG_SAMPLE_MS });
    for (const part of ['min', 'mean', 'max', 'p50', 'p90', 'p99'])
      this.correctLag(`nodejs_eventloop_lag_${part}_seconds`);
  }

  /**
   * Node tells the time from one sample to the next, which is LAG_SAMPLE_MS when nothing was late. Without a sample it tells
   * the largest number or none.
   */
  private correctLag(name: string): void {
    const gauge = this.registry.getSingleMetric(name) as Gauge;
    const set = gauge.set.bind(gauge) as (labels: object, seconds: number) => void;
    gauge.set = ((labels: object, seconds: number) => {
      const late = seconds - LAG_SAMPLE_MS / 1_000;
      set(labels, late > 0 && late < 1e9 ? late : 0);
    }) as Gauge['set'];
  }

  /** `route` is the pattern (`/orders/:id`), so that the number of series does not grow with the orders. */
  observeRequest(method: string, route: string, status: number, ms: number): void {
    this.requests.observe({ method, route, status }, ms / 1_000);
  }

  /** A value that is looked up when somebody asks for the metrics. When that fails, the gauge has no samples. */
  gauge(name: string, help: string, labelNames: readonly string[], samples: () => Promise<readonly Sample[]>): void {
    new Gauge({
      name,
      help,
      labelNames,
      registers: [this.registry],
      async collect() {
        const current = await samples().catch(() => []);
        this.reset();
        for (const { labels, value } of current) this.set(labels, value);
      },
    });
  }

  /** A count that only grows; call what is returned to raise it. */
  counter(name: string, help: string, labelNames: readonly string[]): (labels: Sample['labels'], by?: number) => void {
    const counter = new Counter({ name, help, labelNames, registers: [this.registry] });
    return (labels, by = 1) => counter.inc(labels, by);
  }
}
