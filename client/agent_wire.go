package client

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"time"

	"github.com/keposs/keposs/client/internal/link"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/secret"
)

// What crosses the agent's socket (client/internal/link), version 2. JSON holds
// only what is public; messages, ciphertexts, plaintexts and sheets are Data
// frames after it, samples frames of their own.

// AgentSocket is where the agent of a terminal's folder listens by default.
func AgentSocket(dir string) string { return filepath.Join(dir, "agent.sock") }

// agentCall opens a call.
type agentCall struct {
	Version int             `json:"version"`
	Verb    string          `json:"verb"`
	Args    json.RawMessage `json:"args,omitempty"`
	Data    int             `json:"data,omitempty"` // frames that follow

	// From version 2 on: what the app answers beside prompts.
	Host   bool `json:"host,omitempty"`   // Options.Host
	Attest bool `json:"attest,omitempty"` // Options.Attest
}

// agentResult ends a call. A call may fail and still have a value.
type agentResult struct {
	Value   json.RawMessage `json:"value,omitempty"`
	Failure *agentFailure   `json:"failure,omitempty"`
	Data    int             `json:"data,omitempty"`
}

// agentFailure is a *core.Error; causes cross as text.
type agentFailure struct {
	Code  uint32        `json:"code"`
	Op    string        `json:"op,omitempty"`
	Msg   string        `json:"msg,omitempty"`
	After time.Duration `json:"after,omitempty"`
}

const maxFailure = 1024 // bytes of a message that crosses; longer is cut

func failureOf(err error) *agentFailure {
	if err == nil {
		return nil
	}
	f := &agentFailure{Code: uint32(core.CodeOf(err)), Msg: err.Error()}
	var e *core.Error
	if errors.As(err, &e) {
		f.Op, f.After, f.Msg = e.Op, e.After, e.Msg
		if e.Err != nil {
			if f.Msg != "" {
				f.Msg += ": "
			}
			f.Msg += e.Err.Error()
		}
	}
	f.Msg = f.Msg[:min(len(f.Msg), maxFailure)]
	return f
}

// err is nil for nil. A code of a later version is Internal.
func (f *agentFailure) err() error {
	if f == nil {
		return nil
	}
	c := core.Code(f.Code)
	if _, known := core.ParseCode(c.String()); !known {
		c = core.Internal
	}
	return &core.Error{Code: c, Op: f.Op, Msg: f.Msg, After: f.After}
}

// Arguments and values of the verbs.
type (
	agentHello struct {
		PID   int    `json:"pid"`
		Level uint32 `json:"level"` // sealed, or 0 before a user is initialised
	}
	agentBinding struct {
		Binding Binding `json:"binding"`
		OK      bool    `json:"ok"`
	}
	agentInit struct {
		Request InitRequest `json:"request"`
		Profile Profile     `json:"profile"`
	}
	agentFactors struct {
		Factors []string `json:"factors,omitempty"`
	}
	agentSign struct {
		ID      []byte   `json:"id,omitempty"`
		Factors []string `json:"factors,omitempty"`
	}
	agentSigned struct {
		Raw     [][]byte `json:"raw"` // 64 bytes each
		Outcome Outcome  `json:"outcome"`
	}
	agentVerify struct {
		Key       string   `json:"key,omitempty"` // PEM, "" = the user's own
		ID        []byte   `json:"id,omitempty"`
		Signature []byte   `json:"signature"`
		Factors   []string `json:"factors,omitempty"`
	}
	agentVerified struct {
		OK      bool    `json:"ok"`
		Outcome Outcome `json:"outcome"`
	}
	agentEncrypt struct {
		Key  string `json:"key,omitempty"`
		Form Form   `json:"form"`
	}
	agentOnline struct {
		Online bool `json:"online"`
	}
	agentStatus struct {
		Status      mstcc.Status  `json:"status"`
		ServerError *agentFailure `json:"server_error,omitempty"`
	}
	agentRevoke struct {
		Request RevokeRequest `json:"request"`
		Sheet   bool          `json:"sheet"` // the app shows one
	}
	agentRecover struct {
		Then    agentRevoke `json:"then"`
		Choose  bool        `json:"choose"`
		Profile Profile     `json:"profile"`
	}
	agentWays struct {
		Policy string     `json:"policy"`
		Ways   [][]string `json:"ways"`
	}
	agentEvent struct {
		Flow  string        `json:"flow"`
		Step  int           `json:"step,omitempty"`
		Text  string        `json:"text"`
		Took  time.Duration `json:"took,omitempty"`
		State State         `json:"state"`
	}
)

// receiveData reads the Data frames of a call or result: no more than MaxData
// bytes in all. The caller wipes them; on an error nothing is left.
func receiveData(c *link.Conn, n int) (out []*secret.Buffer, err error) {
	const op = "client: agent"
	if n < 0 || n > mstcc.MaxBatch {
		return nil, core.Errorf(core.TooLarge, op, "%d frames of data, at most %d", n, mstcc.MaxBatch)
	}
	total := 0
	for range n {
		k, b, err := c.Receive()
		if err == nil {
			out = append(out, b)
			if total += b.Len(); k != link.Data {
				err = core.Errorf(core.Invalid, op, "a frame of kind %d among the data", k)
			} else if total > link.MaxData {
				err = core.Errorf(core.TooLarge, op, "more than %d bytes of data", link.MaxData)
			}
		}
		if err != nil {
			secret.WipeAll(out...)
			return nil, err
		}
	}
	return out, nil
}

// toJSON is of values this package made.
func toJSON(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, core.Errorf(core.Internal, "client: agent", "%w", err)
	}
	return b, nil
}

// fromJSON reads strictly; Invalid for anything else than what toJSON wrote.
func fromJSON(b []byte, v any) error {
	if err := strictJSON(b, v); err != nil {
		return core.Errorf(core.Invalid, "client: agent", "a malformed frame: %w", err)
	}
	return nil
}

func pemOf(k PublicKey) string {
	if k.IsZero() {
		return ""
	}
	return string(k.PEM())
}

func keyOf(pem string) (k PublicKey, err error) {
	if pem == "" {
		return k, nil
	}
	return ParsePublicKey([]byte(pem))
}
