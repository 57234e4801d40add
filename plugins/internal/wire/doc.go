// Package wire is the generated Go code of the plugin protocol; its source is
// plugins/proto and its generator is the proto step of .ci/run.
package wire
