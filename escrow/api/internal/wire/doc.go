// Package wire is the generated Go code of the gRPC service between MST-CC and
// SS-CC; its source is sscc.proto beside it. To regenerate, in this folder:
//
//	protoc -I. --go_out=. --go_opt=paths=source_relative \
//		--go-grpc_out=. --go-grpc_opt=paths=source_relative sscc.proto
package wire
