-- Every list has an index in the order of its pages, for each of its filters. While an index is built the table can be read,
-- and its projector waits: seconds for a million rows.

-- CreateIndex
CREATE INDEX "order_summary_status_placed_at_order_id_idx" ON "order_summary"("status", "placed_at", "order_id");

-- CreateIndex
CREATE INDEX "order_summary_customer_id_status_placed_at_order_id_idx" ON "order_summary"("customer_id", "status", "placed_at", "order_id");

-- Page by page, in the order of the time and the key
-- CreateIndex
CREATE INDEX "order_todo_due_at_order_id_idx" ON "order_todo"("due_at", "order_id");

-- DropIndex
DROP INDEX "order_todo_due_at_idx";

-- Page by page, in the order of the time and the key
-- CreateIndex
CREATE INDEX "order_todo_attention_at_order_id_idx" ON "order_todo"("attention_at", "order_id");

-- DropIndex
DROP INDEX "order_todo_attention_at_idx";

-- CreateIndex: the dead letters, which are few among the parked messages
CREATE INDEX "parked_messages_dead_idx" ON "parked_messages"("id") WHERE "dead_at" IS NOT NULL;

-- CreateIndex
CREATE INDEX "dead_letter_decisions_decided_at_id_idx" ON "dead_letter_decisions"("decided_at", "id");
