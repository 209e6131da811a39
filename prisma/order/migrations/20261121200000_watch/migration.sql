-- The to-do list holds deadlines and reminders; it is built anew from the events at the next start.
-- DropTable
DROP TABLE "order_deadline";

DELETE FROM "checkpoints" WHERE "name" = 'projection:order-deadline';

-- CreateTable
CREATE TABLE "order_todo" (
    "order_id" UUID NOT NULL,
    "wants" TEXT NOT NULL,
    "reminders" INTEGER NOT NULL,
    "deadline_at" TIMESTAMPTZ(3),
    "due_at" TIMESTAMPTZ(3),
    "attention_at" TIMESTAMPTZ(3),

    CONSTRAINT "order_todo_pkey" PRIMARY KEY ("order_id")
);

-- CreateIndex
CREATE INDEX "order_todo_due_at_idx" ON "order_todo"("due_at");

-- CreateIndex
CREATE INDEX "order_todo_attention_at_idx" ON "order_todo"("attention_at");

-- AlterTable: which dead letter a decision was about, and what became of it
ALTER TABLE "dead_letter_decisions" ADD COLUMN "dead_letter_id" BIGINT;

-- CreateIndex
CREATE INDEX "dead_letter_decisions_dead_letter_id_decided_at_idx" ON "dead_letter_decisions"("dead_letter_id", "decided_at");
