-- The widths stand in the order that leaves no gaps: there is a row for every commit that shows something.
-- CreateTable
CREATE TABLE "shown" (
  "after" BIGINT NOT NULL,
  "position" BIGINT NOT NULL,
  "at" TIMESTAMPTZ(3) NOT NULL,
  "projection" TEXT COLLATE "C" NOT NULL,

  CONSTRAINT "shown_pkey" PRIMARY KEY ("projection", "position")
);
