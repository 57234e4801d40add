// Package wire is the generated Go code of the plugin protocol; its source is
// plugins/proto and its generator internal/tools/proto.sh.
package wire
