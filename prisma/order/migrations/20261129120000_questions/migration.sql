-- AlterTable
ALTER TABLE "order_todo" ALTER COLUMN "wants" DROP NOT NULL,
ADD COLUMN     "question" BOOLEAN NOT NULL DEFAULT false;
