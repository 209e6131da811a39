-- CreateTable
CREATE TABLE "order_summary" (
    "order_id" UUID NOT NULL,
    "customer_id" UUID NOT NULL,
    "status" TEXT NOT NULL,
    "reason" TEXT,
    "settled" BOOLEAN NOT NULL,
    "lines" JSONB NOT NULL,
    "total_minor" BIGINT NOT NULL,
    "currency" TEXT NOT NULL,
    "placed_at" TIMESTAMPTZ(3) NOT NULL,
    "updated_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "order_summary_pkey" PRIMARY KEY ("order_id")
);

-- CreateTable
CREATE TABLE "price_list" (
    "sku" TEXT NOT NULL,
    "amount_minor" BIGINT NOT NULL,
    "currency" TEXT NOT NULL,
    "since" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "price_list_pkey" PRIMARY KEY ("sku")
);

-- CreateTable
CREATE TABLE "order_deadline" (
    "order_id" UUID NOT NULL,
    "due_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "order_deadline_pkey" PRIMARY KEY ("order_id")
);

-- CreateIndex
CREATE INDEX "order_summary_placed_at_order_id_idx" ON "order_summary"("placed_at", "order_id");

-- CreateIndex
CREATE INDEX "order_summary_customer_id_placed_at_order_id_idx" ON "order_summary"("customer_id", "placed_at", "order_id");

-- CreateIndex
CREATE INDEX "order_deadline_due_at_idx" ON "order_deadline"("due_at");

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
