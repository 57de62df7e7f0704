// Rules between fields, each written once: the check that zod runs and the CEL expression that the API server runs.
// No fields of any kind of object.
import { z } from 'zod';

export interface Rule {
  /** CEL over `self`; only the part of the language that reads the same in JavaScript, so that tests can run both. */
  readonly cel: string;
  readonly message: string;
  holds(self: Readonly<Record<string, unknown>>): boolean;
  /** What was found instead, for the message of zod. */
  got(self: Readonly<Record<string, unknown>>): string;
}

/** The extension of OpenAPI that carries the rules into the CRD. */
export const VALIDATIONS = 'x-kubernetes-validations';

/** Attaches rules to an object schema, for both judges. */
export function withRules<T extends z.ZodObject | z.ZodRecord>(schema: T, ...rules: readonly Rule[]): T {
  const validations = rules.map(({ cel, message }) => ({ rule: cel, message }));
  const described: z.ZodObject | z.ZodRecord = schema.meta({ ...schema.meta(), [VALIDATIONS]: validations });
  return described.superRefine((value, context) => {
    for (const rule of rules) {
      if (!rule.holds(value as Readonly<Record<string, unknown>>))
        context.addIssue({
          code: 'custom',
          message: `${rule.message}, got ${rule.got(value as Readonly<Record<string, unknown>>)}`,
        });
    }
  }) as T;
}

export function exactlyOneOf(...keys: readonly string[]): Rule {
  return {
    cel: `${count(keys)} == 1`,
    message: `expected exactly one of ${keys.join(', ')}`,
    holds: (self) => given(self, keys).length === 1,
    got: (self) => given(self, keys).join(' and ') || 'none',
  };
}

export function atMostOneOf(...keys: readonly string[]): Rule {
  return {
    cel: `${count(keys)} <= 1`,
    message: `expected at most one of ${keys.join(', ')}`,
    holds: (self) => given(self, keys).length <= 1,
    got: (self) => given(self, keys).join(' and '),
  };
}

/** `key` may be given only where the string field `discriminator` has one of `values`. */
export function onlyWith(key: string, discriminator: string, values: readonly string[]): Rule {
  const list = values.map((value) => `'${value}'`).join(', ');
  return {
    cel: `!has(self.${key}) || self.${discriminator} in [${list}]`,
    message: `expected ${key} only with ${discriminator} ${values.join(', ')}`,
    holds: (self) => self[key] === undefined || values.includes(String(self[discriminator])),
    got: (self) => `${discriminator} ${self[discriminator]}`,
  };
}

/** Fields that an update may not change. Only an API server knows what was there before. */
export function unchanged(...keys: readonly string[]): Rule {
  return {
    cel: keys.map((key) => `self.${key} == oldSelf.${key}`).join(' && '),
    message: `${keys.join(', ')} cannot be changed: make another job`,
    holds: () => true,
    got: () => '',
  };
}

function count(keys: readonly string[]): string {
  return keys.map((key) => `(has(self.${key}) ? 1 : 0)`).join(' + ');
}

function given(self: Readonly<Record<string, unknown>>, keys: readonly string[]): readonly string[] {
  return keys.filter((key) => self[key] !== undefined);
}

type OnlyEntry<T> = { [K in keyof T]-?: readonly [kind: K, options: Exclude<T[K], undefined>] }[keyof T];

/** The one field of an object that `exactlyOneOf` all its fields, as [key, value] of one type per key. */
export function onlyEntry<T extends object>(object: T): OnlyEntry<T> {
  const entries = Object.entries(object).filter(([, value]) => value !== undefined);
  return entries[0] as unknown as OnlyEntry<T>;
}

/** An object of optional fields of which exactly one must be given. */
export function oneOf<S extends z.core.$ZodLooseShape>(shape: S, description: string) {
  return withRules(z.strictObject(shape).describe(description), exactlyOneOf(...Object.keys(shape)));
}
