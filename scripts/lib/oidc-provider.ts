/**
 * oidc-provider is made for Node 22, and says so on Node 20 each time. Of what that lacks it uses URL.parse alone: so that is
 * here, and the specs of the provider show that the rest works.
 */
const url = URL as typeof URL & { parse?: (text: string, base?: string) => URL | null };
url.parse ??= (text, base) => (URL.canParse(text, base) ? new URL(text, base) : null);

const { warn } = console;
if (process.versions.node.startsWith('20.')) console.warn = () => {};
export const { Provider, interactionPolicy } = await import('oidc-provider');
console.warn = warn;

export type Provider = InstanceType<typeof Provider>;
export type { AdapterFactory, AdapterPayload, Configuration } from 'oidc-provider';
