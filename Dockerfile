# One image for the three services and for the one-shots (`node scripts/run.mjs migrate`, `… topics`): the command says
# which it is. docker-compose.yml has all of them.
#
#   dependencies ─┬▶ build ──────▶ dist ──────────┬▶ services, the image ─┬▶ identity, another image
#                 ├▶ production ─▶ node_modules ──┘                       │
#                 └▶ provider ───▶ node_modules of the OpenID provider ───┘
FROM node:24-bookworm-slim AS dependencies
WORKDIR /larder
# Nothing but what npm reads: this layer is rebuilt only when a dependency changes.
COPY package.json package-lock.json .npmrc ./
# Without the packages' own scripts, which fetch what an image does not need: a Postgres, Prisma's engines.
RUN --mount=type=cache,target=/root/.npm npm ci --ignore-scripts --no-audit --no-fund

FROM dependencies AS build
COPY . .
# Of the proofs, the simulation alone is here: the console's page of worlds is made of it, and nothing else runs it.
RUN node scripts/prisma.mjs generate && npm run build && rm -r dist/proof

FROM dependencies AS production
# npm takes Prisma's command line for an optional part of its client, and leaves it out only together with all that is
# optional. Of that, the one thing a service needs is KurrentDB's native bridge. Then go Prisma's query compilers for
# other databases, source maps and type declarations, which nothing reads here.
RUN cp -r node_modules/@kurrent /tmp \
 && npm prune --omit=dev --omit=optional --ignore-scripts \
 && rm -rf node_modules/@kurrent /tmp/@kurrent/bridge-*-musl && mv /tmp/@kurrent node_modules \
 && rm node_modules/@prisma/client/runtime/query_compiler_*.cockroachdb.* \
       node_modules/@prisma/client/runtime/query_compiler_*.mysql.* \
       node_modules/@prisma/client/runtime/query_compiler_*.sqlite.* \
       node_modules/@prisma/client/runtime/query_compiler_*.sqlserver.* \
 && find node_modules -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' \) -delete
# What the image is made of, for people and for scanners. `npm sbom --omit dev` would leave out whatever development needs
# as well, the driver of Postgres for one: so it is asked when nothing is left for development.
COPY scripts/notices.mjs ./scripts/
RUN node scripts/notices.mjs > THIRD-PARTY-NOTICES \
 && npm pkg delete devDependencies && npm sbom --sbom-format cyclonedx --sbom-type application > sbom.cdx.json

# The OpenID provider for development, and what it needs: of the versions that package-lock.json names.
FROM dependencies AS provider
RUN version=$(npm pkg get devDependencies.oidc-provider | tr -d '"') \
 && npm pkg delete dependencies devDependencies overrides \
 && npm pkg set "dependencies.oidc-provider=$version" \
 && npm prune --ignore-scripts --no-audit --no-fund

FROM node:24-bookworm-slim AS services
WORKDIR /larder
# kafkajs sets timers for times in the past, and Node 24 warns about them in every process's log; they do no harm.
ENV NODE_ENV=production NODE_OPTIONS="--disable-warning=TimeoutNegativeWarning"
COPY LICENSE ./
COPY --from=production /larder/package.json /larder/THIRD-PARTY-NOTICES /larder/sbom.cdx.json ./
COPY --from=production /larder/node_modules ./node_modules
COPY scripts/run.mjs ./scripts/
COPY prisma ./prisma
COPY --from=build /larder/dist ./dist
# The files belong to root: a service can read its own code and change none of it.
USER node
CMD ["node", "dist/apps/order/src/main.js"]

# Not for production, and so not in the image that is.
FROM services AS identity
COPY --from=provider /larder/node_modules ./node_modules
# A new volume takes its owner over from here.
USER root
RUN install --directory --owner=node --group=node --mode=700 .data
USER node
CMD ["node", "scripts/run.mjs", "identity"]

# What is built when no target is named.
FROM services
