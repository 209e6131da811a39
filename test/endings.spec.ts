/** Every ending of a checkout, on the embedded profile. */
import { endings } from './endings.js';
import { openShop } from './shop.js';

endings(openShop);
