// Single JavaScript values, checked: numbers, texts, lists, objects. What is wrong is said with its path.
#pragma once

#include <napi.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace lepton::binding {

constexpr std::int64_t kLargest = std::int64_t{1} << 40;

/// Throws EngineError ENGINE_ARGUMENT naming `where`, as all of these do.
[[noreturn]] void refuse(const std::string& where, const std::string& expected);

Napi::Object object_of(const Napi::Value& value, const std::string& where);
std::string text_of(const Napi::Value& value, const std::string& where);
bool flag_of(const Napi::Value& value, const std::string& where);
/// A finite number.
double number_of(const Napi::Value& value, const std::string& where);
/// A whole number in [minimum, maximum].
std::int64_t whole_of(const Napi::Value& value, const std::string& where, std::int64_t minimum,
                      std::int64_t maximum);
std::vector<std::string> texts_of(const Napi::Value& value, const std::string& where);
/// Whole numbers from 0 to kLargest.
std::vector<std::int64_t> wholes_of(const Napi::Value& value, const std::string& where);
std::array<std::int64_t, 2> pair_of(const Napi::Value& value, const std::string& where);

/// The array behind `value`, its length bounded.
Napi::Array array_of(const Napi::Value& value, const std::string& where);

/// Calls each(item, path) for every item of an array.
template <class Each>
void for_items(const Napi::Value& value, const std::string& where, Each&& each) {
  const Napi::Array array = array_of(value, where);
  const std::uint32_t length = array.Length();
  for (std::uint32_t i = 0; i < length; ++i) {
    const Napi::HandleScope scope(value.Env());
    each(array.Get(i), where + "[" + std::to_string(i) + "]");
  }
}

/// Reads one property of an object when the object has it.
template <class Target, class Read>
void read_into(Target& target, const Napi::Object& object, const char* name, const std::string& where,
               Read&& read) {
  const Napi::Value value = object.Get(name);
  if (!value.IsUndefined()) target = read(value, where + "." + name);
}

}  // namespace lepton::binding
