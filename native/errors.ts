// What can go wrong in the engine. The addon throws plain errors with these codes; the class is for what fails on this side.

export type EngineErrorCode =
  | 'ENGINE_NOT_BUILT' // the addon is missing or does not load
  | 'ENGINE_OUTDATED' // the addon was made from other sources than these
  | 'ENGINE_ARGUMENT' // a value of a call is wrong: message says which, expected and got
  | 'ENGINE_SHAPE' // shapes in the graph do not fit
  | 'ENGINE_BUSY' // a step of the model is still running
  | 'ENGINE_DISPOSED'
  | 'ENGINE_DEVICE' // unknown device, or an operation that it cannot do
  | 'ENGINE_MEMORY'
  | 'ENGINE_WIRE' // encoded values that no encoder makes
  | 'ENGINE_NOT_FINITE' // values that no codec can carry
  | 'ENGINE_INTERNAL'; // a broken promise of the engine

export class EngineError extends Error {
  override readonly name = 'EngineError';
  readonly code: EngineErrorCode;

  constructor(code: EngineErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
