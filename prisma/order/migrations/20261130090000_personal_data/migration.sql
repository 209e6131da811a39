-- AlterTable
ALTER TABLE "order_summary" ADD COLUMN "recipient" TEXT;

-- CreateTable
CREATE TABLE "customer_erasure" (
    "customer_id" UUID NOT NULL,
    "pending" JSONB NOT NULL,
    "erased" JSONB NOT NULL,
    "requested_at" TIMESTAMPTZ(3) NOT NULL,
    "due_at" TIMESTAMPTZ(3),
    "erased_at" TIMESTAMPTZ(3),

    CONSTRAINT "customer_erasure_pkey" PRIMARY KEY ("customer_id")
);

-- CreateIndex
CREATE INDEX "customer_erasure_due_at_customer_id_idx" ON "customer_erasure"("due_at", "customer_id");

-- CreateIndex
CREATE INDEX "customer_erasure_erased_at_customer_id_idx" ON "customer_erasure"("erased_at", "customer_id");
