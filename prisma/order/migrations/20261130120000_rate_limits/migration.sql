-- Not logged: a crash of the server may empty it, and no write waits for the disk.
-- CreateTable
CREATE UNLOGGED TABLE "rate_limits" (
  "key" TEXT COLLATE "C" NOT NULL,
  "points" INTEGER NOT NULL,
  "expire" BIGINT,

  CONSTRAINT "rate_limits_pkey" PRIMARY KEY ("key")
);
