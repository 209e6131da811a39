-- When a hold waits for a person is in its row: it depends on when the hold ends. The default serves the release before,
-- which may still run, and which does not write the column.

-- AlterTable
ALTER TABLE "money_hold" ADD COLUMN "attention_at" TIMESTAMPTZ(3) NOT NULL DEFAULT (now() + '24:00:00'::interval);
UPDATE "money_hold" SET "attention_at" = "held_since" + '24:00:00'::interval;

-- Page by page, in the order of the time and the key
-- CreateIndex
CREATE INDEX "money_hold_attention_at_order_id_idx" ON "money_hold"("attention_at", "order_id");

-- DropIndex
DROP INDEX "money_hold_held_since_order_id_idx";

-- AlterTable
ALTER TABLE "payment_summary" ADD COLUMN "hold_expires_at" TIMESTAMPTZ(3);
