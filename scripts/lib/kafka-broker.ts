/**
 * A real Kafka for tests, and for people without Docker: one KRaft node, or three of a cluster, broker and controller in
 * one process, in a folder of its own. Its jars come from a Maven repository, once per checkout.
 *
 *   pom.xml ──mvn──▶ .cache/kafka/<version>/*.jar ─▶ certificates ─▶ format ─▶ start ─▶ kill or stop ─▶ start ─▶ …
 *                                                    └──── once per folder ────┘
 *
 * As with the embedded Postgres, a guard shuts the broker down when this process has ended, however: see guarded.ts.
 */
import { type ChildProcess, execFile, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Kafka, logLevel } from 'kafkajs';
import { Advice } from './advice.js';
import { freePort } from './embedded-postgres.js';
import { killGuarded, shutDown, spawnGuarded } from './guarded.js';

export interface KafkaOptions {
  /** Holds the broker's configuration, data, certificates and log. A broker resumes with what an earlier one left here. */
  readonly folder: string;
  /** Of the listener without TLS; default: a free port. */
  readonly port?: number;
  /** Where clients find that listener, when something stands before it; default: where it listens. */
  readonly advertisedPort?: number;
  /** `stop` removes the folder. */
  readonly disposable?: boolean;
  /** Opens a second listener, with TLS, for one user who may log in by SCRAM-SHA-256, SCRAM-SHA-512 or PLAIN. */
  readonly secure?: {
    readonly user: string;
    /** Without quotes, commas and backslashes, which Kafka's own tool for users does not accept. */
    readonly password: string;
    /** Refuses clients that have no certificate of the broker's CA. */
    readonly mutualTls?: boolean;
  };
  /** Makes it one node of a cluster: see `startKafkaCluster`. */
  readonly cluster?: {
    readonly id: string;
    /** Which node it is: a place in `controllers`. */
    readonly node: number;
    /** The ports of all nodes' controllers. */
    readonly controllers: readonly number[];
  };
}

const POM = 'scripts/lib/kafka-pom.xml';
const JAVA_MAJOR = 17;
/** A JVM that runs for a minute spends most of it compiling: with the quick compiler alone it starts in two thirds of the time. */
const SHORT_LIVED = ['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC'];
/** Java finds a folder named Łódź only where the locale has its letters. */
const JAVA_ENV = { ...process.env, LC_ALL: 'C.UTF-8' };
const STARTS_WITHIN_MS = 60_000;
const STOPS_WITHIN_MS = 15_000;

const run = promisify(execFile);

/** Why no broker can run on this machine, as a clause (`Java 17 is not installed`), or undefined if one can. */
export function missingForKafka(): string | undefined {
  if (process.platform === 'win32') return 'on Windows it runs in WSL only';
  const { status, stderr } = spawnSync('java', ['-version'], { encoding: 'utf8' });
  const major = Number(/version "(\d+)/.exec(stderr ?? '')?.[1] ?? 0);
  if (status !== 0 || major < JAVA_MAJOR) return `Java ${JAVA_MAJOR} or newer (\`java\`) is not installed`;
  if (existsSync(jarFolder()) || spawnSync('mvn', ['-version']).status === 0) return undefined;
  return 'Maven (`mvn`), which fetches the broker, is not installed';
}

/**
 * Starts a broker, and returns when it is ready.
 * @throws Advice when its jars cannot be fetched, or it does not start
 */
export async function startKafka(options: KafkaOptions): Promise<KafkaBroker> {
  const { port, cluster } = options;
  const controller = cluster?.controllers[cluster.node] ?? (await freePort());
  const ports = { client: port ?? (await freePort()), secure: await freePort(), controller };
  const broker = new KafkaBroker(options, ports, await fetchJars());
  await broker.prepare();
  await broker.start();
  return broker;
}

/**
 * Starts a cluster of three nodes, one in each folder. A topic that does not say otherwise is kept by all three, and takes
 * records while two are there: any one of them may be killed, and started again.
 */
export async function startKafkaCluster(folders: readonly [string, string, string]): Promise<KafkaBroker[]> {
  const id = newClusterId();
  const controllers: number[] = [];
  while (controllers.length < folders.length) controllers.push(await freePort());
  return Promise.all(
    folders.map((folder, node) => startKafka({ folder, disposable: true, cluster: { id, node, controllers } })),
  );
}

export class KafkaBroker {
  /** Of the listener without TLS: `kafka://127.0.0.1:9092`. */
  readonly url: string;
  /** PEM files: the CA, and a client's certificate and key. They exist if the broker was started with `secure`. */
  readonly ca: string;
  readonly clientCertificate: string;
  readonly clientKey: string;
  /** The broker's log file. */
  readonly log: string;
  private readonly folder: string;
  private readonly properties: string;
  private readonly keystore: string;
  private process: ChildProcess | undefined;
  private end: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly options: KafkaOptions,
    private readonly ports: { readonly client: number; readonly secure: number; readonly controller: number },
    private readonly jars: string,
  ) {
    this.folder = resolve(options.folder);
    const file = (name: string) => join(this.folder, name);
    this.url = `kafka://127.0.0.1:${ports.client}`;
    this.ca = file('ca.pem');
    this.clientCertificate = file('client.pem');
    this.clientKey = file('client.key');
    this.log = file('broker.log');
    this.properties = file('server.properties');
    this.keystore = file('server.keystore.pem');
  }

  /**
   * The URL of the secure listener for the user of the options. `changes` replaces its parts: `password`, or a parameter
   * such as `mechanism` or `ca`, which `undefined` removes.
   */
  secureUrl(changes: Readonly<Record<string, string | undefined>> = {}): string {
    const { secure } = this.options;
    if (!secure) throw new Error('This broker has no secure listener.');
    const { user, password, ...parameters }: Record<string, string | undefined> = {
      user: secure.user,
      password: secure.password,
      ca: this.ca,
      ...(secure.mutualTls && { cert: this.clientCertificate, key: this.clientKey }),
      ...changes,
    };
    const given = Object.entries(parameters).filter(([, value]) => value !== undefined) as [string, string][];
    const credentials = [user, password].map((part) => encodeURIComponent(part ?? '')).join(':');
    return `kafkas://${credentials}@127.0.0.1:${this.ports.secure}?${new URLSearchParams(given).toString()}`;
  }

  /** Resolves when the most recently started process has ended, for whatever reason. */
  get ended(): Promise<unknown> {
    return this.end;
  }

  /** Writes the configuration, and creates certificates and data that do not exist yet. */
  async prepare(): Promise<void> {
    const { secure } = this.options;
    mkdirSync(this.folder, { recursive: true });
    if (readdirSync(this.folder).length > 0 && !existsSync(this.properties))
      throw new Advice(`${this.folder} contains something else than Kafka's data. Set LARDER_DATA to another folder.`);
    if (secure && !existsSync(this.keystore)) await this.makeCertificates();
    const lines = Object.entries(this.settings()).map(([key, value]) => `${key}=${asProperty(`${value}`)}`);
    writeFileSync(this.properties, `${lines.join('\n')}\n`, { mode: 0o600 });

    // A half-formatted data folder is thrown away: only a complete one has this file.
    const data = join(this.folder, 'data');
    if (existsSync(join(data, 'meta.properties'))) return;
    rmSync(data, { recursive: true, force: true });
    const scram = secure && `[name=${JSON.stringify(secure.user)},password=${JSON.stringify(secure.password)}]`;
    const users = scram ? ['SCRAM-SHA-256', 'SCRAM-SHA-512'].flatMap((it) => ['--add-scram', `${it}=${scram}`]) : [];
    const id = `--cluster-id=${this.options.cluster?.id ?? newClusterId()}`;
    await this.java('kafka.tools.StorageTool', 'format', id, '--config', this.properties, ...users).catch((error) => {
      throw new Advice(`Kafka's data folder ${data} could not be formatted: ${complaint(outputOf(error))}`);
    });
  }

  /** Starts the broker, or starts it again on the same ports and data. @throws Advice when it does not start */
  async start(): Promise<void> {
    const output = openSync(this.log, 'a');
    const written = statSync(this.log).size;
    const jvm = [
      '-Xms128m',
      this.options.cluster ? '-Xmx256m' : '-Xmx512m',
      ...(this.options.disposable ? SHORT_LIVED : []),
    ];
    const args = [...jvm, ...this.classpath, 'kafka.Kafka', this.properties];
    const broker = spawnGuarded(
      { program: 'java', args, signal: 'SIGTERM' },
      { cwd: this.folder, output, env: JAVA_ENV },
    );
    closeSync(output);
    this.process = broker;
    this.end = new Promise((ended) => broker.on('error', ended).on('exit', ended));

    const giveUpAt = performance.now() + STARTS_WITHIN_MS;
    while (!(await this.isReady())) {
      const hasEnded = broker.exitCode !== null || broker.signalCode !== null;
      if (!hasEnded && performance.now() < giveUpAt) {
        await sleep(50);
        continue;
      }
      await this.kill();
      const why = complaint(readFileSync(this.log).subarray(written).toString());
      throw new Advice(`Kafka did not start in ${this.folder}: ${why} See ${this.log}.`);
    }
  }

  /** SIGKILL: the broker ends at once, and loses its sessions and everything that it had not sent yet. */
  async kill(): Promise<void> {
    if (this.process?.exitCode === null && this.process.signalCode === null) killGuarded(this.process);
    await this.end;
  }

  /** SIGTERM: the broker closes its log properly, if it is to be kept. SIGKILL when that takes too long. */
  async stop(): Promise<void> {
    if (this.options.disposable) await this.kill();
    if (this.process) shutDown(this.process);
    const impatient = setTimeout(() => void this.kill(), STOPS_WITHIN_MS);
    await this.end;
    clearTimeout(impatient);
    if (this.options.disposable) rmSync(this.folder, { recursive: true, force: true });
  }

  private get classpath(): string[] {
    return ['-cp', join(this.jars, '*')];
  }

  private java(...args: string[]) {
    return run('java', [...SHORT_LIVED, ...this.classpath, ...args], { env: JAVA_ENV });
  }

  private settings(): Record<string, string | number | boolean> {
    const { client, secure, controller } = this.ports;
    const { advertisedPort = client, cluster = { node: 0, controllers: [controller] } } = this.options;
    const replicas = cluster.controllers.length;
    // What is acknowledged outlives the loss of any one node.
    const inSync = Math.min(replicas, 2);
    const listeners = (plain: number) => [
      `PLAINTEXT://127.0.0.1:${plain}`,
      ...(this.options.secure ? [`SASL_SSL://127.0.0.1:${secure}`] : []),
    ];
    return {
      'process.roles': 'broker,controller',
      'node.id': cluster.node + 1,
      'controller.quorum.voters': cluster.controllers.map((port, i) => `${i + 1}@127.0.0.1:${port}`).join(),
      listeners: [...listeners(client), `CONTROLLER://127.0.0.1:${controller}`].join(),
      'advertised.listeners': listeners(advertisedPort).join(),
      'controller.listener.names': 'CONTROLLER',
      'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT',
      'log.dirs': join(this.folder, 'data'),
      'auto.create.topics.enable': false,
      'default.replication.factor': replicas,
      'min.insync.replicas': inSync,
      'offsets.topic.replication.factor': replicas,
      'offsets.topic.num.partitions': 4,
      'transaction.state.log.replication.factor': replicas,
      'transaction.state.log.min.isr': inSync,
      'share.coordinator.state.topic.replication.factor': replicas,
      'share.coordinator.state.topic.min.isr': inSync,
      // Groups form at once, and members may ask for a short session timeout.
      'group.initial.rebalance.delay.ms': 0,
      'group.min.session.timeout.ms': 1_000,
      // After kill -9 the controller refuses the broker until its old session ends: 9 s by default.
      'broker.session.timeout.ms': 1_000,
      'broker.heartbeat.interval.ms': 200,
      // Saves memory on a small machine; only large compacted topics need more. 128 MiB by default.
      'log.cleaner.dedupe.buffer.size': 2 ** 22,
      ...this.secureSettings(),
    };
  }

  private secureSettings(): Record<string, string> {
    const { secure } = this.options;
    if (!secure) return {};
    const listener = 'listener.name.sasl_ssl';
    const scram = 'org.apache.kafka.common.security.scram.ScramLoginModule required;';
    const plain = 'org.apache.kafka.common.security.plain.PlainLoginModule required';
    return {
      'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
      [`${listener}.plain.sasl.jaas.config`]: `${plain} user_${secure.user}=${JSON.stringify(secure.password)};`,
      [`${listener}.scram-sha-256.sasl.jaas.config`]: scram,
      [`${listener}.scram-sha-512.sasl.jaas.config`]: scram,
      [`${listener}.ssl.keystore.type`]: 'PEM',
      [`${listener}.ssl.keystore.location`]: this.keystore,
      [`${listener}.ssl.truststore.type`]: 'PEM',
      [`${listener}.ssl.truststore.location`]: this.ca,
      [`${listener}.ssl.client.auth`]: secure.mutualTls ? 'required' : 'none',
    };
  }

  /**
   * Creates a CA, and certificates for the server and for a client. With openssl, because keytool does not export a private
   * key, and a client needs its own as a PEM file.
   */
  private async makeCertificates(): Promise<void> {
    const file = (name: string) => join(this.folder, name);
    const openssl = (...args: string[]) =>
      run('openssl', args).catch((error) => {
        const why =
          (error as { code?: string }).code === 'ENOENT' ? 'It is not installed: install it.' : outputOf(error).trim();
        throw new Advice(`openssl could not make the broker's certificates. ${why}`);
      });
    const newKey = (name: string) => ['-newkey', 'rsa:2048', '-nodes', '-keyout', file(`${name}.key`)];
    const valid = ['-days', '365'];
    await openssl('req', '-x509', ...newKey('ca'), '-out', this.ca, '-subj', '/CN=Larder broker CA', ...valid);
    for (const [i, name] of ['server', 'client'].entries()) {
      await openssl('req', '-new', ...newKey(name), '-out', file(`${name}.csr`), '-subj', `/CN=${name}`);
      writeFileSync(file(`${name}.ext`), 'subjectAltName = IP:127.0.0.1, DNS:localhost\n');
      const ca = ['-CA', this.ca, '-CAkey', file('ca.key'), '-set_serial', `${i + 1}`];
      const extensions = ['-extfile', file(`${name}.ext`)];
      await openssl(
        'x509',
        '-req',
        '-in',
        file(`${name}.csr`),
        '-out',
        file(`${name}.pem`),
        ...ca,
        ...extensions,
        ...valid,
      );
    }
    const keystore = ['server.key', 'server.pem'].map((name) => readFileSync(file(name), 'utf8')).join('');
    writeFileSync(this.keystore, keystore, { mode: 0o600 }); // Last: its existence means that all files exist.
  }

  /** Whether the controller counts the broker as running: its port is open some time before that. */
  private async isReady(): Promise<boolean> {
    const kafka = new Kafka({
      brokers: [`127.0.0.1:${this.ports.client}`],
      connectionTimeout: 1_000,
      requestTimeout: 1_000,
      retry: { retries: 0 },
      logLevel: logLevel.NOTHING,
    });
    const admin = kafka.admin();
    try {
      await admin.connect();
      const { brokers } = await admin.describeCluster();
      return brokers.some(({ nodeId }) => nodeId === (this.options.cluster?.node ?? 0) + 1);
    } catch {
      return false;
    } finally {
      await admin.disconnect().catch(() => {});
    }
  }
}

function newClusterId(): string {
  return randomBytes(16).toString('base64url');
}

function jarFolder(): string {
  const version = /<kafka\.version>(.+)<\/kafka\.version>/.exec(readFileSync(POM, 'utf8'))![1]!;
  return resolve('.cache/kafka', version);
}

/** The folder with the broker's jars. Several processes may fetch them at once: the first to finish puts them there. */
async function fetchJars(): Promise<string> {
  const folder = jarFolder();
  if (existsSync(folder)) return folder;
  mkdirSync(resolve('.cache/kafka'), { recursive: true });
  const draft = mkdtempSync(`${folder}.`);
  try {
    // -C: a jar with a wrong checksum is an error, not a warning.
    const args = [
      '-q',
      '-B',
      '-C',
      '-Dstyle.color=never',
      '-f',
      POM,
      'dependency:copy-dependencies',
      `-DoutputDirectory=${draft}`,
    ];
    await run('mvn', args).catch((error) => {
      throw new Advice(`Maven could not fetch Kafka: ${complaint(outputOf(error))}`);
    });
    renameSync(draft, folder);
  } catch (error) {
    if (!existsSync(folder)) throw error;
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
  return folder;
}

/** Java reads this file as Latin-1, and takes \\uXXXX for the letters that Latin-1 lacks. */
function asProperty(value: string): string {
  return value
    .replaceAll('\\', '\\\\')
    .replace(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

function outputOf(error: unknown): string {
  const { stdout, stderr, message } = error as { stdout?: string; stderr?: string; message?: string };
  return `${stdout ?? ''}${stderr ?? ''}` || (message ?? '');
}

/** What went wrong according to a program's output: its first exception, its first line with an error, or its last line. */
function complaint(output: string): string {
  const exception = /^(?:Caused by: )?[\w.$]+(?:Exception|Error): (.+)/m.exec(output)?.[1];
  const lines = output.split('\n').filter((line) => line.trim() !== '');
  const line = lines.find((line) => /\bERROR\b/.test(line)) ?? lines.at(-1) ?? 'it printed nothing.';
  return (exception ?? line.replace(/^\[ERROR\]/, '')).trim();
}
