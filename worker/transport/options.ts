// Channel and listener options, each with the reason for its value.
import type { ChannelOptions } from '@grpc/grpc-js';

const MiB = 2 ** 20;

/**
 * Connections that carry bulk in one direction only may have large windows; on a connection with bulk both ways Node
 * pauses reading while it writes, and windows of 8 MiB and more deadlock.
 */
export const DATA_WINDOW = 16 * MiB;
const CONTROL_WINDOW = MiB;

/** In the first frame of a client that carries bulk past Node's HTTP/2: an identifier that no standard has. */
export const BULK_SETTING = 0xf1e7;
/** A chunk is one frame. */
export const BULK_SETTINGS = { initialWindowSize: DATA_WINDOW, maxFrameSize: 2 ** 24 - 1 };

/** Largest message of either service: a chunk with its header, or a plan. */
export function maxMessageBytes(chunkBytes: number): number {
  return Math.max(4 * MiB, chunkBytes + 64 * 1024);
}

/** Detects a dead host; longer than the 20 s for which a stopped process must be tolerated on the same host. */
export const KEEPALIVE_MS = 20_000;
const KEEPALIVE: ChannelOptions = {
  'grpc.keepalive_time_ms': KEEPALIVE_MS,
  'grpc.keepalive_timeout_ms': KEEPALIVE_MS,
};

/** `streams`: calls of one connection at once. */
export function serverOptions(chunkBytes: number, streams: number): ChannelOptions {
  return {
    ...KEEPALIVE,
    'grpc.max_receive_message_length': maxMessageBytes(chunkBytes),
    'grpc.max_concurrent_streams': streams,
  };
}

export function clientOptions(chunkBytes: number): ChannelOptions {
  return {
    ...KEEPALIVE,
    'grpc.max_receive_message_length': maxMessageBytes(chunkBytes),
    'grpc.initial_reconnect_backoff_ms': 100,
    // Everybody waits for a server that starts.
    'grpc.max_reconnect_backoff_ms': 300,
    // Without it, channels with equal options share one connection.
    'grpc.use_local_subchannel_pool': 1,
    'grpc-node.flow_control_window': CONTROL_WINDOW,
    // Retries are ours.
    'grpc.enable_retries': 0,
  };
}
