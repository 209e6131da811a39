/**
 * The currencies that one can sell in: the codes of ISO 4217 that have a minor unit, and how many digits it has. The others
 * of the list are metals, funds without a unit and codes for tests (XAU, XDR, XXX, XTS, …).
 *
 * `Intl` knows other numbers: those of CLDR are the digits that people pay in cash, none for the forint and the rupiah.
 * Amounts in minor units are exchanged with banks and providers, which count as ISO 4217 does.
 *
 * Source: ISO 4217, list one, published on 2026-01-01 by SIX, its maintenance agency,
 * https://www.six-group.com/en/products-services/financial-information/market-reference-data/data-standards.html
 */
const CODES = {
  0: 'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF',
  2:
    'AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY COP ' +
    'COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR ' +
    'JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN ' +
    'NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL ' +
    'THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG',
  3: 'BHD IQD JOD KWD LYD OMR TND',
  4: 'CLF UYW',
};

/** By code, the digits of the minor unit: 2 for EUR, because a euro has 100 cents. */
export const minorUnitDigits: ReadonlyMap<string, number> = new Map(
  Object.entries(CODES).flatMap(([digits, codes]) => codes.split(' ').map((code) => [code, Number(digits)] as const)),
);
