/** Every ending of a checkout, on the embedded profile. */
import { endings } from './support/endings.js';
import { openShop } from './support/shop.js';

endings(openShop);
