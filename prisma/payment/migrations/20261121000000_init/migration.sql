-- CreateTable
CREATE TABLE "payment_summary" (
    "order_id" UUID NOT NULL,
    "status" TEXT NOT NULL,
    "reason" TEXT,
    "amount_minor" BIGINT,
    "currency" TEXT,
    "captured_minor" BIGINT NOT NULL,
    "refunded_minor" BIGINT NOT NULL,
    "updated_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "payment_summary_pkey" PRIMARY KEY ("order_id")
);

-- CreateTable
CREATE TABLE "payment_todo" (
    "order_id" UUID NOT NULL,
    "step" TEXT NOT NULL,
    "position" BIGINT NOT NULL,
    "due_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "payment_todo_pkey" PRIMARY KEY ("order_id")
);

-- CreateIndex
CREATE INDEX "payment_todo_due_at_idx" ON "payment_todo"("due_at");

-- CreateTable
CREATE TABLE "checkpoints" (
    "name" TEXT NOT NULL,
    "position" BIGINT NOT NULL,

    CONSTRAINT "checkpoints_pkey" PRIMARY KEY ("name")
);

-- CreateTable
CREATE TABLE "parked_messages" (
    "id" BIGSERIAL NOT NULL,
    "consumer" TEXT NOT NULL,
    "key" TEXT NOT NULL,
    "message_id" TEXT NOT NULL,
    "message" JSON NOT NULL,
    "attempts" INTEGER NOT NULL,
    "error" TEXT NOT NULL,
    "parked_at" TIMESTAMPTZ(3) NOT NULL,
    "next_attempt_at" TIMESTAMPTZ(3) NOT NULL,
    "dead_at" TIMESTAMPTZ(3),

    CONSTRAINT "parked_messages_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "dead_letter_decisions" (
    "id" UUID NOT NULL,
    "consumer" TEXT NOT NULL,
    "key" TEXT NOT NULL,
    "message_id" TEXT NOT NULL,
    "message" JSON NOT NULL,
    "attempts" INTEGER NOT NULL,
    "error" TEXT NOT NULL,
    "action" TEXT NOT NULL,
    "actor" TEXT NOT NULL,
    "reason" TEXT NOT NULL,
    "decided_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "dead_letter_decisions_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "parked_messages_consumer_key_id_idx" ON "parked_messages"("consumer", "key", "id");

-- CreateIndex
CREATE INDEX "parked_messages_consumer_next_attempt_at_idx" ON "parked_messages"("consumer", "next_attempt_at");

-- CreateIndex
CREATE UNIQUE INDEX "parked_messages_consumer_message_id_key" ON "parked_messages"("consumer", "message_id");

-- CreateTable
CREATE TABLE "simulated_payments" (
    "order_id" UUID NOT NULL,
    "revision" INTEGER NOT NULL,
    "payment" JSONB NOT NULL,

    CONSTRAINT "simulated_payments_pkey" PRIMARY KEY ("order_id")
);

-- CreateTable
CREATE TABLE "simulated_ledger" (
    "position" BIGSERIAL NOT NULL,
    "order_id" UUID NOT NULL,
    "type" TEXT NOT NULL,
    "currency" TEXT,
    "held_minor" BIGINT NOT NULL,
    "charged_minor" BIGINT NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "simulated_ledger_pkey" PRIMARY KEY ("position")
);

-- CreateIndex
CREATE INDEX "simulated_ledger_order_id_position_idx" ON "simulated_ledger"("order_id", "position");
