-- AlterTable
ALTER TABLE "checkpoints" ADD COLUMN     "built_by" TEXT;

-- CreateTable
CREATE TABLE "snapshots" (
    "stream" TEXT NOT NULL,
    "folded_by" TEXT NOT NULL,
    "revision" INTEGER NOT NULL,
    "event_id" UUID NOT NULL,
    "state" JSON NOT NULL,

    CONSTRAINT "snapshots_pkey" PRIMARY KEY ("stream")
);
