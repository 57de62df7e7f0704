#include "binding/memory.h"

#include <string>

#include "binding/arena_view.h"
#include "binding/convert.h"
#include "binding/values.h"
#include "graph/error.h"

namespace lepton::binding {
namespace {

constexpr napi_type_tag kTag = {0x1b0a4c3f5d6e4788, 0x9a2c7e1f3b5d8640};
constexpr std::int64_t kLargestProcess = std::int64_t{1} << 31;

std::size_t bytes(std::int64_t floats) { return static_cast<std::size_t>(floats) * sizeof(float); }

SegmentAddress address_of(const Napi::Value& value) {
  const Napi::Object object = object_of(value, "address");
  return {.process = whole_of(object.Get("process"), "address.process", 1, kLargestProcess),
          .descriptor = whole_of(object.Get("descriptor"), "address.descriptor", 0, kLargestProcess),
          .key = text_of(object.Get("key"), "address.key")};
}

Napi::Object object_of(Napi::Env env, const SegmentAddress& address) {
  const Napi::Object object = Napi::Object::New(env);
  object.Set("process", static_cast<double>(address.process));
  object.Set("descriptor", static_cast<double>(address.descriptor));
  object.Set("key", address.key);
  return object;
}

}  // namespace

Napi::Function Memory::define(Napi::Env env) {
  return DefineClass(env, "Memory", {InstanceMethod("lay", &Memory::lay)});
}

Memory::Memory(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Memory>(info) {
  const Napi::Env env = info.Env();
  guarded(env, [&] {
    const std::string kind = text_of(info[0], "kind");
    const std::int64_t length = whole_of(info[1], "length", 1, kLargest);
    length_ = static_cast<std::size_t>(length);
    Napi::Object self = info.This().As<Napi::Object>();
    self.TypeTag(&kTag);
    if (kind == "arena") {
      arena_.emplace(bytes(length));
    } else {
      segment_ = kind == "share"  ? Segment::create(bytes(length))
                 : kind == "keep" ? Segment::keep(text_of(info[2], "path"), bytes(length))
                                  : Segment::open(address_of(info[2]), bytes(length));
      self.Set("address", object_of(env, segment_->address()));
    }
    self.Set("values", arena_view(env, memory(), length_, sizeof(float)));
  });
}

Memory& Memory::of(const Napi::Value& value, const std::string& where) {
  const Napi::Object object = lepton::binding::object_of(value, where);
  if (!object.CheckTypeTag(&kTag)) refuse(where, "memory of the engine");
  return *Unwrap(object);
}

const std::shared_ptr<std::byte[]>& Memory::memory() const {
  return segment_ ? segment_->memory() : arena_->memory();
}

Napi::Value Memory::lay(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Memory& other = of(info[1], "segment");
    if (!arena_ || !other.segment_)
      throw EngineError("ENGINE_ARGUMENT", "lay: expected an arena and a segment");
    arena_->lay(bytes(whole_of(info[0], "at", 0, kLargest)), *other.segment_,
                bytes(whole_of(info[2], "from", 0, kLargest)),
                bytes(whole_of(info[3], "length", 0, kLargest)));
    return info.Env().Undefined();
  });
}

}  // namespace lepton::binding
