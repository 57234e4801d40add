package ppdtest

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/keposs/keposs/core"
)

func describeStable(ctx context.Context, h Harness) error {
	return with(ctx, h, func(s session) error {
		again, err := s.src.Describe(ctx)
		if err != nil || !reflect.DeepEqual(s.info, again) {
			return fmt.Errorf("two descriptions differ: %v", err)
		}
		return nil
	})
}

func describeSound(ctx context.Context, h Harness) error {
	return with(ctx, h, func(s session) error {
		i := s.info
		served := false
		for _, f := range i.Formats {
			served = served || f == i.Format
		}
		switch {
		case i.Name == "" || len(i.Name) > 32:
			return fmt.Errorf("name of %d bytes", len(i.Name))
		case i.Kind == core.KindUnknown:
			return errors.New("kind is unknown")
		case i.Format == 0 || !served:
			return fmt.Errorf("format %d is not among %v", i.Format, i.Formats)
		case len(i.Samples) == 0:
			return errors.New("no sample kinds")
		case i.EnrollCaptures.Min < 1 || i.EnrollCaptures.Max < i.EnrollCaptures.Min || i.RecoverCaptures.Min < 1 || i.RecoverCaptures.Max < i.RecoverCaptures.Min:
			return errors.New("captures out of order")
		}
		return nil
	})
}

func unknownConfig(ctx context.Context, h Harness) error {
	return with(ctx, h, func(s session) error {
		err := s.src.Configure(ctx, core.Config{Values: map[string]string{"no_such_setting": "1"}})
		if err := want(err, core.Invalid); err != nil {
			return err
		}
		return describeStable(ctx, Harness{Transport: &Transport{Open: func(context.Context) (core.Source, func() error, error) {
			return s.src, func() error { return nil }, nil
		}}})
	})
}

func strengthHonest(ctx context.Context, h Harness) error {
	return with(ctx, h, func(s session) error {
		e, err := s.enroll(ctx, h.Person(1), 1)
		if err != nil {
			return err
		}
		for _, st := range []core.Strength{s.info.Strength, e.Strength} {
			counted := len(st.Evidence) > 8 && st.Evidence[:7] == "counted"
			measured := len(st.Evidence) > 9 && st.Evidence[:8] == "measured"
			if st.PerTry == 0 || !measured && !(counted && !s.biometric()) {
				return fmt.Errorf("%d millibits with the evidence %q", st.PerTry, st.Evidence)
			}
			if st.BestGuess > st.PerTry {
				return errors.New("the best guess is worse than a random one")
			}
		}
		return nil
	})
}

func unknownParam(ctx context.Context, h Harness) error {
	return with(ctx, h, func(s session) error {
		_, err := s.src.Enroll(ctx, core.EnrollRequest{BindKey: s.bind(1), Params: map[string]string{"no_such_param": "1"}}, h.Person(1))
		return want(err, core.Invalid)
	})
}

func unknownFormat(ctx context.Context, h Harness) error {
	return with(ctx, h, func(s session) error {
		_, err := s.src.Enroll(ctx, core.EnrollRequest{BindKey: s.bind(1), Format: 1 << 30}, h.Person(1))
		return want(err, core.Unsupported)
	})
}
