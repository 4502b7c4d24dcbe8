/** The fake API server of the tests here, held to the contract of the real one. */
import { afterAll, beforeAll } from 'vitest';
import { type FakeApiServer, startFakeApiServer } from '../test/contract/fakeApiServer.ts';
import { CONTRACT_COLLECTIONS, describeKubeContract } from '../test/contract/kubeContract.ts';

let server: FakeApiServer;
beforeAll(async () => {
  server = await startFakeApiServer(CONTRACT_COLLECTIONS);
});
afterAll(() => server.stop());

describeKubeContract('the fake API server', () => server.access);
