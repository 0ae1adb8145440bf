package crawl

import (
	"fmt"
	"io"

	"go.uber.org/zap"
	"go.uber.org/zap/buffer"
	"go.uber.org/zap/zapcore"
)

// NewLogger makes the logger that settings ask for, writing to w, which must be safe for concurrent use only if others write to it too.
func NewLogger(s LogSettings, w io.Writer) (*zap.Logger, error) {
	level := zapcore.InfoLevel
	if s.Level != "" {
		var err error
		if level, err = zapcore.ParseLevel(s.Level); err != nil {
			return nil, fmt.Errorf("log.level %q: want debug, info, warn or error", s.Level)
		}
	}
	conf := zap.NewProductionEncoderConfig()
	conf.EncodeTime = zapcore.ISO8601TimeEncoder
	conf.EncodeDuration = zapcore.StringDurationEncoder
	var enc zapcore.Encoder
	switch s.Format {
	case "", "console":
		conf.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		conf.EncodeLevel = zapcore.CapitalLevelEncoder
		conf.ConsoleSeparator = " "
		enc = statEncoder{zapcore.NewConsoleEncoder(conf)}
	case "json":
		enc = zapcore.NewJSONEncoder(conf)
	default:
		return nil, fmt.Errorf("log.format %q: want console or json", s.Format)
	}
	return zap.New(zapcore.NewCore(enc, zapcore.Lock(zapcore.AddSync(w)), level)), nil
}

// statEncoder writes the field of [Stats.Field] as lines.
type statEncoder struct{ zapcore.Encoder }

// Clone implements [zapcore.Encoder].
func (e statEncoder) Clone() zapcore.Encoder { return statEncoder{e.Encoder.Clone()} }

// EncodeEntry implements [zapcore.Encoder].
func (e statEncoder) EncodeEntry(ent zapcore.Entry, fields []zapcore.Field) (*buffer.Buffer, error) {
	if len(fields) == 1 {
		if list, ok := fields[0].Interface.(statList); ok {
			ent.Message += ":" + list.lines()
			fields = nil
		}
	}
	return e.Encoder.EncodeEntry(ent, fields)
}
