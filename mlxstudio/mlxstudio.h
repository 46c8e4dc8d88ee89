#pragma once
// MLXStudio's public face: the only header of it that other products include. Chat templates, rendered as transformers renders them.
//
//   auto chat = TRY(mlxstudio::jinja::Template::compile(source));
//   std::string prompt = TRY(chat.render({.variables = variables, .now = local_time}));
//
// Link with mlxstudio::template.
#include "mlxstudio/template/template.h"
