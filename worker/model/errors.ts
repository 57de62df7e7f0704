// What can be wrong with a model, its layers, its training settings or its saved form.

export type ModelErrorCode =
  | 'LAYER_INVALID' // options of a layer, or a name used twice
  | 'LAYER_SHAPE' // a layer does not fit what comes before it
  | 'MODEL_NOT_BUILT' // the input shape is not known yet
  | 'MODEL_NOT_COMPILED'
  | 'TRAINING_INVALID' // loss, metric, optimizer or schedule
  | 'DATA_SHAPE' // arrays that do not fit the model
  | 'LOSS_NOT_FINITE'
  | 'MODEL_FILE_INVALID'
  | 'PROGRAM_INVALID';

/** Message: what, where (layer, file, field), expected, got. */
export class ModelError extends Error {
  override readonly name = 'ModelError';
  readonly code: ModelErrorCode;

  constructor(code: ModelErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** (28, 28, 1): a shape without its batch, as messages and summaries print it. */
export function formatShape(shape: readonly number[]): string {
  return `(${shape.join(', ')})`;
}
