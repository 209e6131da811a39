-- What waited for a person stays in its table, with when it was attended to. There are few such rows: the index has no others.

-- AlterTable
ALTER TABLE "stock_hold" ALTER COLUMN "attention_at" DROP NOT NULL,
ADD COLUMN     "attended_at" TIMESTAMPTZ(3);

-- CreateIndex
CREATE INDEX "stock_hold_attended_at_order_id_idx" ON "stock_hold"("attended_at", "order_id") WHERE "attended_at" IS NOT NULL;
