// Servers on uWebSockets, without TLS, one loop, default socket options.
//
//     server HOST:PORT              echo, no compression
//     server HOST:PORT shared       echo, SHARED_COMPRESSOR and SHARED_DECOMPRESSOR
//     server HOST:PORT dedicated    echo, DEDICATED_COMPRESSOR and DEDICATED_DECOMPRESSOR
//     server HOST:PORT pubsub       `subscribe TOPIC` joins a topic; `TOPIC PAYLOAD` is published there
//
// What each echo mode echoes is compressed wherever compression was negotiated.
#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>

#include "App.h"

namespace {

constexpr unsigned int kPayloadMax = 16 * 1024 * 1024;
// Nothing is dropped: a generator that gets less than everything reports no result.
constexpr unsigned int kBackpressureMax = 256 * 1024 * 1024;
// The longest it offers, in seconds: nothing is closed while idle memory is measured.
constexpr unsigned short kIdleTimeout = 960;

struct Session {};

uWS::CompressOptions compression(std::string_view mode) {
    if (mode == "shared") {
        return uWS::CompressOptions(uWS::SHARED_COMPRESSOR | uWS::SHARED_DECOMPRESSOR);
    }
    if (mode == "dedicated") {
        return uWS::CompressOptions(uWS::DEDICATED_COMPRESSOR | uWS::DEDICATED_DECOMPRESSOR);
    }
    return uWS::DISABLED;
}

template <class OnMessage>
void serve(uWS::App &app, const std::string &host, int port, uWS::CompressOptions compression,
           OnMessage on_message) {
    app.ws<Session>("/*", {.compression = compression,
                           .maxPayloadLength = kPayloadMax,
                           .idleTimeout = kIdleTimeout,
                           .maxBackpressure = kBackpressureMax,
                           .message = std::move(on_message)})
        .listen(host, port, [&host](us_listen_socket_t *socket) {
            if (!socket) {
                std::cerr << "cannot listen on " << host << std::endl;
                std::exit(1);
            }
            const int bound = us_socket_local_port(0, reinterpret_cast<us_socket_t *>(socket));
            std::cout << "listening on " << host << ":" << bound << std::endl;
        })
        .run();
}

}  // namespace

int main(int argc, char **argv) {
    const std::string address = argc > 1 ? argv[1] : "127.0.0.1:0";
    const std::string_view mode = argc > 2 ? argv[2] : "echo";
    const std::size_t colon = address.rfind(':');
    const std::string host = address.substr(0, colon);
    const int port = std::atoi(address.c_str() + colon + 1);

    uWS::App app;
    if (mode == "pubsub") {
        serve(app, host, port, uWS::DISABLED,
              [&app](auto *ws, std::string_view message, uWS::OpCode opcode) {
                  const std::size_t space = message.find(' ');
                  if (space == std::string_view::npos) {
                      ws->end(1008, "a topic and a space come first");
                      return;
                  }
                  const std::string_view first = message.substr(0, space);
                  const std::string_view rest = message.substr(space + 1);
                  if (first == "subscribe") {
                      ws->subscribe(rest);
                  } else {
                      app.publish(first, rest, opcode, false);
                  }
              });
    } else if (mode == "echo" || mode == "shared" || mode == "dedicated") {
        const uWS::CompressOptions options = compression(mode);
        const bool compress = options != uWS::DISABLED;
        serve(app, host, port, options,
              [compress](auto *ws, std::string_view message, uWS::OpCode opcode) {
                  ws->send(message, opcode, compress);
              });
    } else {
        std::cerr << "no such server: " << mode << std::endl;
        return 2;
    }
}
