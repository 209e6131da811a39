-- CreateTable
CREATE TABLE "replays" (
  "id" UUID NOT NULL,
  "projection" TEXT COLLATE "C" NOT NULL,
  "action" TEXT NOT NULL,
  "actor" TEXT NOT NULL,
  "reason" TEXT NOT NULL,
  "correlation_id" TEXT,
  "asked_at" TIMESTAMPTZ(3) NOT NULL,
  "started_at" TIMESTAMPTZ(3),
  "switched_at" TIMESTAMPTZ(3),
  "ended_at" TIMESTAMPTZ(3),
  "progress" JSONB,
  "result" JSONB,
  "error" TEXT,

  CONSTRAINT "replays_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "replays_asked_at_id_idx" ON "replays"("asked_at", "id");

-- CreateIndex
CREATE INDEX "replays_projection_asked_at_idx" ON "replays"("projection", "asked_at");

-- Of a read model one replay is open at a time, whichever instance was asked.
-- CreateIndex
CREATE UNIQUE INDEX "replays_open" ON "replays"("projection") WHERE "ended_at" IS NULL;
