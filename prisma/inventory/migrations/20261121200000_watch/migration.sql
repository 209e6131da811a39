-- CreateTable
CREATE TABLE "stock_hold" (
    "order_id" UUID NOT NULL,
    "held_since" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "stock_hold_pkey" PRIMARY KEY ("order_id")
);

-- CreateIndex
CREATE INDEX "stock_hold_held_since_idx" ON "stock_hold"("held_since");

-- AlterTable: which dead letter a decision was about, and what became of it
ALTER TABLE "dead_letter_decisions" ADD COLUMN "dead_letter_id" BIGINT;

-- CreateIndex
CREATE INDEX "dead_letter_decisions_dead_letter_id_decided_at_idx" ON "dead_letter_decisions"("dead_letter_id", "decided_at");
