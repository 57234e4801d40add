// camera: a sensor of keposs in C++, over gRPC C++ and OpenSSL.
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "keposs/plugin/v1/control.grpc.pb.h"
#include "keposs/plugin/v1/sensor.grpc.pb.h"

namespace kp = keposs::plugin::v1;
using grpc::ServerContext;
using grpc::Status;
using grpc::StatusCode;

namespace {

const char kName[] = "camera";
const size_t kDim = 128;  // of an embedding

class Control final : public kp::Control::Service {
  Status Describe(ServerContext*, const kp::DescribeRequest*, kp::PluginInfo* out) override {
    out->set_kind("sensor");
    out->set_name(kName);
    out->set_version("0.1.0");
    return Status::OK;
  }
  // KeyAgreement stays UNIMPLEMENTED: secrets go plain (rule C2).
};

class Sensor final : public kp::Sensor::Service {
  Status Describe(ServerContext*, const kp::Empty*, kp::SensorInfo* out) override {
    out->set_name(kName);
    out->set_version("0.1.0");
    out->set_model("camera 1");
    out->add_samples("face-embedding");
    auto* field = out->add_schema();
    field->set_name("file");
    field->set_type("path");
    field->set_help("File of embeddings, little-endian float32 one after the other, taken in turn.");
    return Status::OK;
  }

  Status Configure(ServerContext*, const kp::Config* in, kp::Empty*) override {
    for (const auto& v : in->values())
      if (v.first != "file") return Status(StatusCode::INVALID_ARGUMENT, "unknown setting, want file");
    if (in->secrets_size() > 0) return Status(StatusCode::INVALID_ARGUMENT, "there is no secret setting");
    std::lock_guard<std::mutex> hold(mu_);
    auto it = in->values().find("file");
    if (it != in->values().end()) file_ = it->second;
    return Status::OK;
  }

  // Sample takes one capture: put your camera and model here.
  Status Sample(ServerContext*, const kp::Prompt* in, kp::Sample* out) override {
    bool asked = false;
    for (const auto& k : in->kinds()) asked = asked || k == "face-embedding";
    if (!asked) return Status(StatusCode::UNIMPLEMENTED, "this sensor takes face-embedding");
    std::lock_guard<std::mutex> hold(mu_);
    std::ifstream f(file_, std::ios::binary);
    std::string all((std::istreambuf_iterator<char>(f)), std::istreambuf_iterator<char>());
    const size_t size = kDim * sizeof(float), count = all.size() / size;
    if (count == 0) return Status(StatusCode::FAILED_PRECONDITION, "no embedding there; configure file=PATH");
    out->set_kind("face-embedding");
    out->set_model("camera 1");
    out->mutable_data()->set_plain(all.substr(taken_++ % count * size, size));
    return Status::OK;
  }

  std::mutex mu_;
  std::string file_;
  size_t taken_ = 0;
};

// Controller is plugin.GRPCController, whose Shutdown takes and gives an empty message.
class Controller final : public grpc::Service {
 public:
  Controller() {
    AddMethod(new grpc::internal::RpcServiceMethod(
        "/plugin.GRPCController/Shutdown", grpc::internal::RpcMethod::NORMAL_RPC,
        new grpc::internal::RpcMethodHandler<Controller, kp::Empty, kp::Empty>(
            [](Controller*, ServerContext*, const kp::Empty*, kp::Empty*) {
              std::thread([] {
                std::this_thread::sleep_for(std::chrono::milliseconds(50));
                _exit(0);
              }).detach();
              return Status::OK;
            },
            this)));
  }
};

struct Pair {
  std::string key, cert, der;
};

std::string take(BIO* b) {
  char* p;
  long n = BIO_get_mem_data(b, &p);
  std::string s(p, n);
  BIO_free(b);
  return s;
}

// A fresh P-256 key and a self-signed certificate for localhost.
Pair certificate() {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* c = X509_new();
  X509_set_version(c, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(c), 1);
  X509_gmtime_adj(X509_getm_notBefore(c), -60);
  X509_gmtime_adj(X509_getm_notAfter(c), 365L * 24 * 3600);
  X509_NAME* name = X509_get_subject_name(c);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
  X509_set_issuer_name(c, name);
  X509_set_pubkey(c, key);
  X509V3_CTX ctx;
  X509V3_set_ctx(&ctx, c, c, nullptr, nullptr, 0);
  for (auto e : {std::pair<int, const char*>{NID_subject_alt_name, "DNS:localhost"}, {NID_basic_constraints, "critical,CA:TRUE"}}) {
    X509_EXTENSION* x = X509V3_EXT_conf_nid(nullptr, &ctx, e.first, e.second);
    X509_add_ext(c, x, -1);
    X509_EXTENSION_free(x);
  }
  X509_sign(c, key, EVP_sha256());
  Pair out;
  BIO* b = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(b, key, nullptr, nullptr, 0, nullptr, nullptr);
  out.key = take(b);
  b = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(b, c);
  out.cert = take(b);
  b = BIO_new(BIO_s_mem());
  i2d_X509_bio(b, c);
  out.der = take(b);
  X509_free(c);
  EVP_PKEY_free(key);
  return out;
}

std::string base64(const std::string& s) {
  std::string out(4 * ((s.size() + 2) / 3) + 1, '\0');
  int n = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(&out[0]), reinterpret_cast<const unsigned char*>(s.data()), s.size());
  out.resize(n);
  while (!out.empty() && out.back() == '=') out.pop_back();
  return out;
}

std::string env(const char* name) {
  const char* v = std::getenv(name);
  return v ? v : "";
}

}  // namespace

int main() {
  if (env("KEPOSS_PLUGIN_COOKIE") != "6b65706f73732d706c7567696e2d3031") {
    std::cerr << "this is a plugin of keposs; it is started by keposs, not by hand\n";
    return 1;
  }
  Pair own = certificate();
  grpc::SslServerCredentialsOptions tls(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  tls.pem_root_certs = env("PLUGIN_CLIENT_CERT");
  tls.pem_key_cert_pairs.push_back({own.key, own.cert});
  std::string sock = env("PLUGIN_UNIX_SOCKET_DIR") + "/plugin.sock";

  Control control;
  Sensor sensor;
  Controller controller;
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder b;
  b.SetMaxReceiveMessageSize(4 << 20);
  b.SetMaxSendMessageSize(4 << 20);
  b.AddListeningPort("unix:" + sock, grpc::SslServerCredentials(tls));
  b.RegisterService(&control);
  b.RegisterService(&sensor);
  b.RegisterService(&controller);
  std::unique_ptr<grpc::Server> server = b.BuildAndStart();
  if (!server) {
    std::cerr << "cannot serve on " << sock << "\n";
    return 2;
  }
  server->GetHealthCheckService()->SetServingStatus("plugin", true);

  std::cout << "1|1|unix|" << sock << "|grpc|" << base64(own.der) << std::endl;
  dup2(2, 1);  // nothing follows the handshake (rule P4)

  char buf[4096];  // the life line: its end is the end of the host
  while (read(0, buf, sizeof buf) > 0) {
  }
  _exit(0);
}
