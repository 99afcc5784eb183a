#!/usr/bin/env bash
# Makes speech-in-noise.wav: three synthesised sentences with pauses, in noise, and two sounds that are loud but no speech (a knock
# and a beep). Needs espeak-ng and sox; the same versions make the same bytes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

readonly RATE=16000
# Repeatable noise (-R), no dither (-D): otherwise each run would differ.
sox_() { command sox -R -D "$@"; }

# say NAME VOICE WORDS_PER_MINUTE TEXT: speech without the silence around it, at -9 dB.
say() {
  espeak-ng -v "$2" -s "$3" -w "$work/$1-raw.wav" "$4"
  sox_ "$work/$1-raw.wav" -r $RATE -b 16 -c 1 "$work/$1.wav" silence 1 0.01 0.5% reverse silence 1 0.01 0.5% reverse norm -9
}
say one en-gb+m3 150 "Good morning. The first train leaves at nine."
say two en-us+f2 155 "We will send the pictures tonight, when the work is done."
say three en-gb+m7 145 "Thank you. See you tomorrow."

sox_ -n -r $RATE -b 16 -c 1 "$work/knock.wav" synth 0.12 brownnoise fade t 0.002 0.12 0.11 norm -6
sox_ -n -r $RATE -b 16 -c 1 "$work/beep.wav" synth 0.35 sine 1000 fade t 0.01 0.35 0.02 norm -12

# Where each sound starts, in seconds.
sox_ -m \
  "|sox -R -D $work/one.wav -p pad 1.2" \
  "|sox -R -D $work/knock.wav -p pad 5.1" \
  "|sox -R -D $work/two.wav -p pad 6.2" \
  "|sox -R -D $work/beep.wav -p pad 10.3" \
  "|sox -R -D $work/three.wav -p pad 11.4" \
  -r $RATE -b 16 -c 1 "$work/dry.wav" gain 12

# Pink noise (a street), hum of the mains, and both under everything; -v is the share of each.
sox_ -n -r $RATE -b 16 -c 1 "$work/street.wav" synth 14.5 pinknoise norm -24
sox_ -n -r $RATE -b 16 -c 1 "$work/hum.wav" synth 14.5 sine 50 sine 150 remix - norm -34
sox_ -m -v 1 "$work/dry.wav" -v 1 "$work/street.wav" -v 1 "$work/hum.wav" -r $RATE -b 16 -c 1 speech-in-noise.wav trim 0 14.5
