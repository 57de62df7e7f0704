// Channel and listener options, each with the reason for its value. Figures: grpc-js 1.14.7 on Node 24.
import type { ChannelOptions } from '@grpc/grpc-js';

const MiB = 2 ** 20;

/**
 * Connections that carry bulk in one direction only may have large windows; on a connection with bulk both ways Node
 * pauses reading while it writes, and windows of 8 MiB and more deadlock.
 */
export const DATA_WINDOW = 16 * MiB;
export const CONTROL_WINDOW = MiB;

/** Largest message of either service: a chunk with its header, or a plan. */
export function maxMessageBytes(chunkBytes: number): number {
  return Math.max(4 * MiB, chunkBytes + 64 * 1024);
}

/** Detects a dead host; longer than the 20 s for which a stopped process must be tolerated on the same host. */
const KEEPALIVE: ChannelOptions = { 'grpc.keepalive_time_ms': 20_000, 'grpc.keepalive_timeout_ms': 20_000 };

/** `streams`: calls of one connection at once. */
export function serverOptions(chunkBytes: number, streams: number): ChannelOptions {
  return {
    ...KEEPALIVE,
    'grpc.max_receive_message_length': maxMessageBytes(chunkBytes),
    'grpc.max_concurrent_streams': streams,
  };
}

/** `bulk` channels get a connection and windows of their own. */
export function clientOptions(chunkBytes: number, bulk: boolean): ChannelOptions {
  return {
    ...KEEPALIVE,
    'grpc.max_receive_message_length': maxMessageBytes(chunkBytes),
    'grpc.initial_reconnect_backoff_ms': 100,
    // Everybody waits for a server that starts.
    'grpc.max_reconnect_backoff_ms': 300,
    // Without it, channels with equal options share one connection.
    'grpc.use_local_subchannel_pool': 1,
    'grpc-node.flow_control_window': bulk ? DATA_WINDOW : CONTROL_WINDOW,
    // Retries are ours; the retry buffer would hide backpressure and keep a copy of each message.
    'grpc.enable_retries': 0,
    ...(bulk ? { 'grpc.per_rpc_retry_buffer_size': 0 } : {}),
  };
}
