// libcurl brings thirty libraries along. Linked, they cost every run of a program 4 ms and 5 MiB before it does anything, and most runs never
// use the network. So on Linux what this room calls of it is defined here, and the library is loaded by the first call. (macOS maps it into every
// process anyway, and links it.) Without the library: what makes handles gives none, and Client::make and Url::parse say so.
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <dlfcn.h>

#include <cstdarg>

// Function-like in the header, to count arguments.
#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_share_setopt
#undef curl_multi_setopt

namespace {

/// Never closed: libcurl and its TLS library leave handlers for the end of the process.
void* symbol(const char* name) {
  static void* const library = ::dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
  return library != nullptr ? ::dlsym(library, name) : nullptr;
}

template <class Function>
Function* find(const char* name) {
  return reinterpret_cast<Function*>(symbol(name));
}

}  // namespace

// Hidden: libcurl's own calls of its functions must not end here.
#define ON_DEMAND(result, name, parameters, arguments, otherwise)               \
  extern "C" __attribute__((visibility("hidden"))) result name parameters {     \
    static auto* const real = find<result parameters>(#name);                   \
    if (real == nullptr) return otherwise;                                      \
    return real arguments;                                                      \
  }

ON_DEMAND(CURLcode, curl_global_init, (long flags), (flags), CURLE_FAILED_INIT)
ON_DEMAND(CURL*, curl_easy_init, (), (), nullptr)
ON_DEMAND(void, curl_easy_cleanup, (CURL * easy), (easy), void())
ON_DEMAND(void, curl_easy_reset, (CURL * easy), (easy), void())
ON_DEMAND(CURLcode, curl_easy_pause, (CURL * easy, int mask), (easy, mask), CURLE_FAILED_INIT)
ON_DEMAND(const char*, curl_easy_strerror, (CURLcode code), (code), "libcurl is not installed")
ON_DEMAND(CURLM*, curl_multi_init, (), (), nullptr)
ON_DEMAND(CURLMcode, curl_multi_cleanup, (CURLM * multi), (multi), CURLM_INTERNAL_ERROR)
ON_DEMAND(CURLMcode, curl_multi_add_handle, (CURLM * multi, CURL* easy), (multi, easy), CURLM_INTERNAL_ERROR)
ON_DEMAND(CURLMcode, curl_multi_remove_handle, (CURLM * multi, CURL* easy), (multi, easy), CURLM_INTERNAL_ERROR)
ON_DEMAND(CURLMcode, curl_multi_perform, (CURLM * multi, int* running), (multi, running), CURLM_INTERNAL_ERROR)
ON_DEMAND(CURLMcode, curl_multi_poll, (CURLM * multi, curl_waitfd* extra, unsigned count, int timeout_ms, int* ready),
          (multi, extra, count, timeout_ms, ready), CURLM_INTERNAL_ERROR)
ON_DEMAND(CURLMcode, curl_multi_wakeup, (CURLM * multi), (multi), CURLM_INTERNAL_ERROR)
ON_DEMAND(CURLMsg*, curl_multi_info_read, (CURLM * multi, int* left), (multi, left), nullptr)
ON_DEMAND(const char*, curl_multi_strerror, (CURLMcode code), (code), "libcurl is not installed")
ON_DEMAND(CURLSH*, curl_share_init, (), (), nullptr)
ON_DEMAND(CURLSHcode, curl_share_cleanup, (CURLSH * share), (share), CURLSHE_INVALID)
ON_DEMAND(curl_slist*, curl_slist_append, (curl_slist * list, const char* text), (list, text), nullptr)
ON_DEMAND(void, curl_slist_free_all, (curl_slist * list), (list), void())
ON_DEMAND(CURLU*, curl_url, (), (), nullptr)
ON_DEMAND(void, curl_url_cleanup, (CURLU * url), (url), void())
ON_DEMAND(CURLUcode, curl_url_get, (CURLU * url, CURLUPart part, char** text, unsigned flags), (url, part, text, flags), CURLUE_OUT_OF_MEMORY)
ON_DEMAND(CURLUcode, curl_url_set, (CURLU * url, CURLUPart part, const char* text, unsigned flags), (url, part, text, flags), CURLUE_OUT_OF_MEMORY)
ON_DEMAND(void, curl_free, (void* text), (text), void())
ON_DEMAND(time_t, curl_getdate, (const char* text, const time_t* unused), (text, unused), -1)

// One argument follows, of a type that the option tells: a long, a pointer or a curl_off_t. Where all of them have 64 bits one stands for each.
static_assert(sizeof(long) == sizeof(void*) && sizeof(curl_off_t) == sizeof(void*));
#ifdef __clang__
#pragma clang diagnostic ignored "-Wvarargs"  // of an enumeration before the dots: libcurl's own signatures
#endif
#define ON_DEMAND_OPTION(result, name, Handle, Option, otherwise)                                   \
  extern "C" __attribute__((visibility("hidden"))) result name(Handle* handle, Option option, ...) { \
    static auto* const real = find<result(Handle*, Option, ...)>(#name);                            \
    if (real == nullptr) return otherwise;                                                          \
    va_list rest;                                                                                   \
    va_start(rest, option);                                                                         \
    void* const argument = va_arg(rest, void*);                                                     \
    va_end(rest);                                                                                   \
    return real(handle, option, argument);                                                          \
  }

ON_DEMAND_OPTION(CURLcode, curl_easy_setopt, CURL, CURLoption, CURLE_FAILED_INIT)
ON_DEMAND_OPTION(CURLcode, curl_easy_getinfo, CURL, CURLINFO, CURLE_FAILED_INIT)
ON_DEMAND_OPTION(CURLMcode, curl_multi_setopt, CURLM, CURLMoption, CURLM_INTERNAL_ERROR)
ON_DEMAND_OPTION(CURLSHcode, curl_share_setopt, CURLSH, CURLSHoption, CURLSHE_INVALID)
