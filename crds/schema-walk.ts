// Reads zod schemas as a tree of fields: what may stand at a path, where nulls mean "use the default". Validates nothing.
import { z } from 'zod';

export type Path = readonly PropertyKey[];

/** `spec.model.layers[0].conv2d`. */
export function formatPath(path: Path): string {
  return path.reduce<string>(
    (text, key) =>
      typeof key === 'number' ? `${text}[${key}]` : text === '' ? String(key) : `${text}.${String(key)}`,
    '',
  );
}

/** The schema below optional, default and prefault, and whether a default stands in for a missing value. */
function unwrap(schema: z.core.$ZodType): { inner: z.core.$ZodType; hasDefault: boolean } {
  let hasDefault = false;
  let inner = schema;
  for (;;) {
    if (inner instanceof z.ZodDefault || inner instanceof z.ZodPrefault) hasDefault = true;
    else if (!(inner instanceof z.ZodOptional || inner instanceof z.ZodExactOptional))
      return { inner, hasDefault };
    inner = inner.def.innerType;
  }
}

/** The schema of the field at `path`, or undefined where the schema has no such field. */
function schemaAt(schema: z.core.$ZodType, path: Path): z.core.$ZodType | undefined {
  let { inner } = unwrap(schema);
  for (const key of path) {
    const next = childOf(inner, key);
    if (!next) return undefined;
    inner = unwrap(next).inner;
  }
  return inner;
}

function childOf(schema: z.core.$ZodType, key: PropertyKey): z.core.$ZodType | undefined {
  if (schema instanceof z.ZodObject)
    return Object.hasOwn(schema.shape, key) ? schema.shape[String(key)] : undefined;
  return schema instanceof z.ZodArray && typeof key === 'number' ? schema.element : undefined;
}

/** Names of the fields of the object at `path`. */
export function fieldsAt(schema: z.core.$ZodType, path: Path): readonly string[] {
  const found = schemaAt(schema, path);
  return found instanceof z.ZodObject ? Object.keys(found.shape) : [];
}

/** The first path, top down, of a field called `name`; lists are left out. */
export function findField(schema: z.core.$ZodType, name: string): Path | undefined {
  const queue: { at: z.core.$ZodType; path: Path }[] = [{ at: schema, path: [] }];
  for (const { at, path } of queue) {
    const { inner } = unwrap(at);
    if (!(inner instanceof z.ZodObject)) continue;
    if (Object.hasOwn(inner.shape, name)) return [...path, name];
    for (const [key, child] of Object.entries(inner.shape)) queue.push({ at: child, path: [...path, key] });
  }
  return undefined;
}

/** As the API server does: a null stands for "not given" where the schema has a default. */
export function dropNulls(schema: z.core.$ZodType, value: unknown): unknown {
  const { inner } = unwrap(schema);
  if (inner instanceof z.ZodArray && Array.isArray(value))
    return value.map((item) => dropNulls(inner.element, item));
  if (!(inner instanceof z.ZodObject) || typeof value !== 'object' || value === null || Array.isArray(value))
    return value;
  const kept = Object.entries(value).flatMap(([key, item]) => {
    const child = childOf(inner, key);
    if (!child) return [[key, item]];
    return item === null && unwrap(child).hasDefault ? [] : [[key, dropNulls(child, item)]];
  });
  return Object.fromEntries(kept);
}
