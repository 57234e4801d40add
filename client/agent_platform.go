package client

import (
	"context"

	"github.com/keposs/keposs/client/internal/link"
	"github.com/keposs/keposs/core"
)

// verdicts answers an agent's question about the app's platform.
func (r *remote) verdicts(ctx context.Context, conn *link.Conn, body []byte) error {
	ids, err := link.DecodeProbes(body)
	if err != nil {
		return err
	}
	if r.host == nil {
		return core.Errorf(core.Invalid, "client: agent", "the agent asks a host that nobody offered")
	}
	list := make([]ProbeVerdict, len(ids))
	for i, id := range ids {
		if v, ok := r.host(ctx, id); ok {
			list[i] = orUnknown(v)
		}
	}
	return conn.Send(link.Verdicts, link.EncodeVerdicts(list))
}

// orUnknown keeps an empty verdict from being no answer.
func orUnknown(v ProbeVerdict) ProbeVerdict {
	if v == "" {
		return ProbeUnknown
	}
	return v
}

// proof answers an agent that must prove the terminal genuine.
func (r *remote) proof(ctx context.Context, conn *link.Conn, nonce []byte) error {
	const op = "client: agent"
	if len(nonce) != 32 || r.attest == nil {
		return core.Errorf(core.Invalid, op, "the agent asks for a proof over %d bytes that nobody offered", len(nonce))
	}
	platform, proof, err := r.attest(ctx, [32]byte(nonce))
	if err != nil {
		return refuse(conn, err)
	}
	head, err := link.EncodeProof(platform, proof)
	if err != nil {
		return refuse(conn, err)
	}
	return conn.Send(link.Proof, head, proof)
}
