-- What waited for a person stays in its table, with when it was attended to. There are few such rows: the index has no others.

-- AlterTable
ALTER TABLE "order_todo" ADD COLUMN     "attended_at" TIMESTAMPTZ(3);

-- CreateIndex
CREATE INDEX "order_todo_attended_at_order_id_idx" ON "order_todo"("attended_at", "order_id") WHERE "attended_at" IS NOT NULL;
