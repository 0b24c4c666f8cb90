// Remove the name of standard input from process.argv: the program's own arguments begin at argv[1].
if (process.argv[1] === '-' || /\[stdin\]$/.test(process.argv[1] ?? '')) process.argv.splice(1, 1);
