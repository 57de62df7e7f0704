#include "binding/values.h"

#include <cmath>

#include "graph/error.h"

namespace lepton::binding {
namespace {

constexpr std::uint32_t kMostItems = 1'000'000;

}  // namespace

void refuse(const std::string& where, const std::string& expected) {
  throw EngineError("ENGINE_ARGUMENT", where + ": expected " + expected);
}

Napi::Object object_of(const Napi::Value& value, const std::string& where) {
  if (!value.IsObject() || value.IsFunction()) refuse(where, "an object");
  return value.As<Napi::Object>();
}

Napi::Array array_of(const Napi::Value& value, const std::string& where) {
  if (!value.IsArray()) refuse(where, "an array");
  const auto array = value.As<Napi::Array>();
  if (array.Length() > kMostItems) refuse(where, "at most " + std::to_string(kMostItems) + " items");
  return array;
}

std::string text_of(const Napi::Value& value, const std::string& where) {
  if (!value.IsString()) refuse(where, "text");
  return value.As<Napi::String>().Utf8Value();
}

bool flag_of(const Napi::Value& value, const std::string& where) {
  if (!value.IsBoolean()) refuse(where, "true or false");
  return value.As<Napi::Boolean>().Value();
}

std::vector<std::string> texts_of(const Napi::Value& value, const std::string& where) {
  std::vector<std::string> texts;
  for_items(value, where,
            [&](const Napi::Value& item, const std::string& path) { texts.push_back(text_of(item, path)); });
  return texts;
}

std::vector<std::int64_t> wholes_of(const Napi::Value& value, const std::string& where) {
  std::vector<std::int64_t> numbers;
  for_items(value, where, [&](const Napi::Value& item, const std::string& path) {
    numbers.push_back(whole_of(item, path, 0, kLargest));
  });
  return numbers;
}

std::array<std::int64_t, 2> pair_of(const Napi::Value& value, const std::string& where) {
  const auto numbers = wholes_of(value, where);
  if (numbers.size() != 2) refuse(where, "two numbers");
  return {numbers[0], numbers[1]};
}

std::int64_t whole_of(const Napi::Value& value, const std::string& where, std::int64_t minimum,
                      std::int64_t maximum) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : std::nan("");
  if (std::floor(number) == number && number >= static_cast<double>(minimum) &&
      number <= static_cast<double>(maximum)) {
    return static_cast<std::int64_t>(number);
  }
  refuse(where, "a whole number of " + std::to_string(minimum) + " to " + std::to_string(maximum));
}

double number_of(const Napi::Value& value, const std::string& where) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : std::nan("");
  if (!std::isfinite(number)) refuse(where, "a finite number");
  return number;
}

}  // namespace lepton::binding
