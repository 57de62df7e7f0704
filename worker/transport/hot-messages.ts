// The fields of the two messages that carry bulk, as in protos/lepton/exchange/v1. A new field goes into the .proto, into messages.ts
// and here; a test holds all three equal.
import type { Totals } from '../protocol/ledger.ts';
import type { PullMessage, PushMessage } from './messages.ts';
import { BulkType, double, doubles, message, string, uint32, uint64 } from './wire.ts';

export const PUSH_MESSAGE = new BulkType<PushMessage>(
  'PushMessage',
  {
    epoch: uint64(1),
    rank: uint32(2),
    step: uint64(3),
    gradient: message<NonNullable<PushMessage['gradient']>>(4, {
      chunk: uint32(1),
      weight: double(2),
      learningRate: double(3),
      codec: string(4),
      sharedChunks: uint32(5),
    }),
    initial: message<NonNullable<PushMessage['initial']>>(5, { chunk: uint32(1) }),
    record: message<Totals>(6, { samples: uint64(1), sums: doubles(2) }),
    refresh: message<NonNullable<PushMessage['refresh']>>(10, {}),
  },
  ['gradient', 'initial', 'record', 'refresh'],
  15,
);

export const PULL_MESSAGE = new BulkType<PullMessage>(
  'PullMessage',
  {
    step: uint64(1),
    parameters: message<NonNullable<PullMessage['parameters']>>(2, {
      chunk: uint32(1),
      codec: string(4),
      sharedChunks: uint32(5),
    }),
    begin: message<NonNullable<PullMessage['begin']>>(3, { directive: string(1), shares: doubles(10) }),
  },
  ['parameters', 'begin'],
  15,
);
