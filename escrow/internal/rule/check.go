package rule

import "github.com/keposs/keposs/core"

// MaxPage bounds the records of one page of Scan and Export.
const MaxPage = 1000

// CheckKeys refuses a batch or a key out of bounds, before anything is read.
func CheckKeys(op string, keys []core.Key) error {
	if len(keys) > core.MaxBatch {
		return core.Errorf(core.TooLarge, op, "%d keys, at most %d", len(keys), core.MaxBatch)
	}
	for _, k := range keys {
		if err := checkKey(op, k); err != nil {
			return err
		}
	}
	return nil
}

func checkKey(op string, k core.Key) error {
	switch {
	case len(k) == 0:
		return core.Errorf(core.Invalid, op, "empty key")
	case len(k) > core.MaxKey:
		return core.Errorf(core.TooLarge, op, "key of %d bytes, at most %d", len(k), core.MaxKey)
	}
	return nil
}

// CheckBatch refuses a batch of mutations that is too long.
func CheckBatch(op string, n int) error {
	if n > core.MaxBatch {
		return core.Errorf(core.TooLarge, op, "%d mutations, at most %d", n, core.MaxBatch)
	}
	return nil
}

// Check refuses one mutation that breaks a bound or its op's form.
func Check(m core.Mutation) error {
	const op = "escrow: commit"
	if err := checkKey(op, m.Key); err != nil {
		return err
	}
	switch {
	case len(m.Hot) > core.MaxHot:
		return core.Errorf(core.TooLarge, op, "hot part of %d bytes, at most %d", len(m.Hot), core.MaxHot)
	case len(m.Blob) > core.MaxBlob:
		return core.Errorf(core.TooLarge, op, "blob of %d bytes, at most %d", len(m.Blob), core.MaxBlob)
	}
	switch m.Op {
	case core.OpPut:
	case core.OpPutHot:
		if m.Expect == 0 {
			return core.Errorf(core.Invalid, op, "put-hot needs the version it expects")
		}
		if len(m.Blob) > 0 {
			return core.Errorf(core.Invalid, op, "put-hot leaves the blob alone; send none")
		}
	case core.OpDelete:
		if len(m.Hot) > 0 || len(m.Blob) > 0 {
			return core.Errorf(core.Invalid, op, "delete carries no content")
		}
	default:
		return core.Errorf(core.Invalid, op, "op %d is not one of put, put-hot, delete", uint32(m.Op))
	}
	return nil
}

// Sound refuses the mutations that break a bound, each by its result, and
// returns the places of the others.
func Sound(ms []core.Mutation) (out []core.Result, rest []int) {
	out = make([]core.Result, len(ms))
	for i, m := range ms {
		if out[i].Err = Check(m); out[i].Err == nil {
			rest = append(rest, i)
		}
	}
	return out, rest
}

// CheckScan refuses a page request out of bounds.
func CheckScan(op string, req core.ScanRequest) error {
	if req.Limit < 1 || req.Limit > MaxPage {
		return core.Errorf(core.Invalid, op, "page of %d records, want 1 to %d", req.Limit, MaxPage)
	}
	if len(req.After) > core.MaxKey {
		return core.Errorf(core.TooLarge, op, "start key of %d bytes, at most %d", len(req.After), core.MaxKey)
	}
	return nil
}

// CheckImport refuses records that could not have been exported.
func CheckImport(recs []core.Record, deleted []bool) error {
	const op = "escrow: import"
	if len(recs) > core.MaxBatch {
		return core.Errorf(core.TooLarge, op, "%d records, at most %d", len(recs), core.MaxBatch)
	}
	if deleted != nil && len(deleted) != len(recs) {
		return core.Errorf(core.Invalid, op, "%d records but %d deletion marks", len(recs), len(deleted))
	}
	for i, r := range recs {
		if err := checkKey(op, r.Key); err != nil {
			return err
		}
		dead := deleted != nil && deleted[i]
		switch {
		case r.Version == 0 || r.Version > MaxVersion:
			return core.Errorf(core.Invalid, op, "record %d has version %d, want 1 to %d", i, r.Version, MaxVersion)
		case len(r.Hot) > core.MaxHot || len(r.Blob) > core.MaxBlob:
			return core.Errorf(core.TooLarge, op, "record %d is larger than a record may be", i)
		case dead && len(r.Hot)+len(r.Blob) > 0:
			return core.Errorf(core.Invalid, op, "tombstone %d carries content", i)
		}
	}
	return nil
}
