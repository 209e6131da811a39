-- AlterTable
ALTER TABLE "payment_todo" ALTER COLUMN "step" DROP NOT NULL,
ADD COLUMN     "second_holds" INTEGER NOT NULL DEFAULT 0;
