/** Requests to a shop's services as Ada sends them, who may do everything; `.set(shop.as('Bea', 'customer'))` is somebody else. */
import supertest from 'supertest';
import type { Shop } from './shop.js';

export default function request(url: string, shop: Pick<Shop, 'anybody'>) {
  return supertest.agent(url).set(shop.anybody);
}
