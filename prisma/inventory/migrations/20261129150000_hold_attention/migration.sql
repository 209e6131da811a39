-- When a hold waits for a person is in its row: it depends on when the hold ends. The default serves the release before,
-- which may still run, and which does not write the column.

-- AlterTable
ALTER TABLE "stock_hold" ADD COLUMN "attention_at" TIMESTAMPTZ(3) NOT NULL DEFAULT (now() + '24:00:00'::interval);
UPDATE "stock_hold" SET "attention_at" = "held_since" + '24:00:00'::interval;

-- Page by page, in the order of the time and the key
-- CreateIndex
CREATE INDEX "stock_hold_attention_at_order_id_idx" ON "stock_hold"("attention_at", "order_id");

-- DropIndex
DROP INDEX "stock_hold_held_since_order_id_idx";
