// What `import ... from 'lepton'` gives: models, data, callbacks and training on several processes.
export { fromArrays } from './worker/data/arrays.ts';
export type { Dataset } from './worker/data/dataset.ts';
export { openDataset } from './worker/data/open.ts';
export { splitDataset, subset } from './worker/data/views.ts';
export { type DistributedTrainOptions, distributedTrain } from './worker/launch/distributed-train.ts';
export { type Callback, callbacks, type Logs, type Training } from './worker/model/callbacks.ts';
export type { CompileOptions, LossOptions } from './worker/model/compile.ts';
export type { FitOptions } from './worker/model/fit.ts';
export type { Program, ProgramContext, ProgramData } from './worker/model/from-spec.ts';
export type { History } from './worker/model/history.ts';
export type { Layer, SymbolicTensor } from './worker/model/layers/layer.ts';
export { input, layers } from './worker/model/layers.ts';
export { Model, type ModelInit, Sequential } from './worker/model/model.ts';
export { type Tensor, tensor } from './worker/model/tensor.ts';
export { optimizers } from './worker/model/training.ts';
