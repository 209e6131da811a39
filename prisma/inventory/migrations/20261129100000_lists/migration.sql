-- Every list has an index in the order of its pages, for each of its filters. While an index is built the table can be read,
-- and its projector waits: seconds for a million rows.

-- Page by page, in the order of the time and the key
-- CreateIndex
CREATE INDEX "stock_hold_held_since_order_id_idx" ON "stock_hold"("held_since", "order_id");

-- DropIndex
DROP INDEX "stock_hold_held_since_idx";

-- CreateIndex: the dead letters, which are few among the parked messages
CREATE INDEX "parked_messages_dead_idx" ON "parked_messages"("id") WHERE "dead_at" IS NOT NULL;

-- CreateIndex
CREATE INDEX "dead_letter_decisions_decided_at_id_idx" ON "dead_letter_decisions"("decided_at", "id");
