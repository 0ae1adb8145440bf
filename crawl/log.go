package crawl

import (
	"fmt"
	"io"

	"go.uber.org/zap"
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
		enc = zapcore.NewConsoleEncoder(conf)
	case "json":
		enc = zapcore.NewJSONEncoder(conf)
	default:
		return nil, fmt.Errorf("log.format %q: want console or json", s.Format)
	}
	return zap.New(zapcore.NewCore(enc, zapcore.Lock(zapcore.AddSync(w)), level)), nil
}
